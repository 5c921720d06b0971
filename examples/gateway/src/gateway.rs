//! Which request does what.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

use icap_client::override_ticket::{ContentDigest, DigestWriter, OverrideError};
use icap_client::protocol::is_displayable;
use icap_client::{Decision, Notice, Stats};
use oxhttp::model::header::{CONTENT_LENGTH, COOKIE, HeaderName, LOCATION, SET_COOKIE};
use oxhttp::model::{Body, HeaderValue, Method, Request, Response, StatusCode};
use tempfile::NamedTempFile;

use crate::check::{Checked, Checker};
use crate::copies::{Copies, Copy, FileReader};
use crate::http::{Bounded, Failure, Form, header, text, with_security_headers};
use crate::sessions::{MAX_USER, Session, Sessions};
use crate::settings::Settings;
use crate::storage::{FileId, Storage};
use crate::{delivery, names, pages};

const CSRF_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

pub struct Gateway {
    checker: Checker,
    storage: Storage,
    copies: Copies,
    sessions: Sessions,
    hosts: Vec<String>,
    max_upload: u64,
}

impl Gateway {
    pub fn new(settings: &Settings) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            checker: Checker::new(settings)?,
            storage: Storage::open(&settings.data, settings.max_files)?,
            copies: Copies::default(),
            sessions: Sessions::default(),
            hosts: settings.hosts.clone(),
            max_upload: settings.max_upload,
        })
    }

    pub fn handle(&self, request: &mut Request<Body>) -> Response<Body> {
        self.admit(request)
            .and_then(|()| self.route(request))
            .unwrap_or_else(|failure| pages::failure(&failure))
    }

    /// The pages of the operator. They are on an address of their own.
    pub fn handle_operator(&self, request: &Request<Body>) -> Response<Body> {
        if let Err(failure) = self.admit(request) {
            return pages::failure(&failure);
        }
        let stats = self.checker.stats();
        match (request.uri().path(), request.method()) {
            ("/", &Method::GET) => pages::status(stats.as_ref(), self.copies.len()),
            ("/style.css", &Method::GET) => text(StatusCode::OK, "text/css", pages::STYLE.into()),
            ("/metrics", &Method::GET) => metrics(stats),
            _ => pages::failure(&Failure::NOT_FOUND),
        }
    }

    /// Refuses what the pages of another site make a browser send. Such a site can have its name lead to this address
    /// (DNS rebinding), so only known names are served. It can send forms, also that of the login, so a browser that
    /// says where a form comes from must name this site.
    fn admit(&self, request: &Request<Body>) -> Result<(), Failure> {
        let host = request.uri().host().unwrap_or_default();
        let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let mut names = self.hosts.iter().map(String::as_str).chain(["localhost"]);
        if !is_address && !names.any(|name| name.eq_ignore_ascii_case(host)) {
            return Err(Failure::OTHER_HOST);
        }
        let is_own = match request.headers().get(SEC_FETCH_SITE) {
            Some(site) => site == "same-origin" || site == "none",
            None => true,
        };
        if is_own || request.method() == Method::GET {
            Ok(())
        } else {
            Err(Failure::FORGED)
        }
    }

    fn route(&self, request: &mut Request<Body>) -> Result<Response<Body>, Failure> {
        let path = request.uri().path().to_owned();
        let method = request.method().clone();
        match (path.as_str(), &method) {
            ("/", &Method::GET) => self.drive(request),
            ("/login", &Method::GET) => Ok(pages::login()),
            ("/login", &Method::POST) => self.log_in(request),
            ("/files", &Method::PUT) => Ok(self.upload(request).unwrap_or_else(plain_failure)),
            ("/style.css", &Method::GET) => {
                Ok(text(StatusCode::OK, "text/css", pages::STYLE.into()))
            }
            ("/upload.js", &Method::GET) => Ok(text(
                StatusCode::OK,
                "text/javascript",
                pages::SCRIPT.into(),
            )),
            ("/" | "/login" | "/files" | "/style.css" | "/upload.js", _) => {
                Err(Failure::NOT_ALLOWED)
            }
            _ => self.file(request, &path),
        }
    }

    fn file(&self, request: &mut Request<Body>, path: &str) -> Result<Response<Body>, Failure> {
        let id = path.strip_prefix("/files/").and_then(FileId::parse);
        let id = id.ok_or(Failure::NOT_FOUND)?;
        match *request.method() {
            Method::GET => self.download(request, &id),
            Method::POST => self.download_anyway(request, &id),
            _ => Err(Failure::NOT_ALLOWED),
        }
    }

    fn drive(&self, request: &Request<Body>) -> Result<Response<Body>, Failure> {
        match self.session(request) {
            Ok(session) => {
                let entries = self.storage.list()?;
                Ok(pages::drive(&session, &entries, self.checker.is_on()))
            }
            Err(_) => Ok(pages::login()),
        }
    }

    fn log_in(&self, request: &mut Request<Body>) -> Result<Response<Body>, Failure> {
        let form = Form::read(request)?;
        let user = form.field("user").trim();
        let is_name = !user.is_empty() && user.chars().count() <= MAX_USER;
        if !is_name || !user.chars().all(is_displayable) {
            return Ok(pages::login());
        }
        let cookie = self.sessions.begin(user)?;
        let cookie = format!("session={cookie}; HttpOnly; SameSite=Strict; Path=/");
        let response = Response::builder()
            .status(StatusCode::SEE_OTHER)
            .header(LOCATION, "/")
            .header(SET_COOKIE, cookie)
            .body(Body::empty())?;
        Ok(with_security_headers(response))
    }

    fn session(&self, request: &Request<Body>) -> Result<Arc<Session>, Failure> {
        let cookies = header(request.headers(), COOKIE).split(';');
        let cookie = cookies
            .filter_map(|it| it.trim().strip_prefix("session="))
            .next();
        cookie
            .and_then(|cookie| self.sessions.find(cookie))
            .ok_or(Failure::NOT_LOGGED_IN)
    }

    /// Receives a file, scans it, and gives it its place on the drive unless it is refused. A file that could not be
    /// scanned is stored: the person who downloads it is asked.
    fn upload(&self, request: &mut Request<Body>) -> Result<Response<Body>, Failure> {
        let session = self.session(request)?;
        if !session.is_csrf_token(header(request.headers(), CSRF_TOKEN)) {
            return Err(Failure::FORGED);
        }
        let name = names::safe(Form::of_query(request).field("name"));
        let (spool, digest, content) = self.receive(request)?;
        let checked = self.checker.check(content, &name);
        let checked = self.copies.settle(&digest, None, checked);
        let told = match &checked.decision {
            Decision::Deliver if checked.is_clean => "The file was checked and stored.".to_owned(),
            Decision::Deliver => "The file was stored. It was not checked.".to_owned(),
            Decision::Ask(notice) => format!("The file was stored. {notice}"),
            Decision::Refuse(notice) => {
                let told = format!("The file was not stored. {notice}");
                return Ok(text(StatusCode::UNPROCESSABLE_ENTITY, PLAIN, told));
            }
            _ => return Err(Failure::NOT_ALLOWED),
        };
        let id = self.storage.store(spool, &name)?;
        log::info!("{:?} stored {name:?} as {}", session.user, id.as_str());
        let mut response = text(StatusCode::CREATED, PLAIN, told);
        let location = HeaderValue::try_from(format!("/files/{}", id.as_str()));
        response
            .headers_mut()
            .insert(LOCATION, location.map_err(oxhttp::model::Error::from)?);
        Ok(response)
    }

    /// Writes the body of a request into a file with a temporary name.
    fn receive(
        &self,
        request: &mut Request<Body>,
    ) -> Result<(NamedTempFile, ContentDigest, FileReader), Failure> {
        let announced = header(request.headers(), CONTENT_LENGTH).parse();
        if announced.is_ok_and(|len: u64| len > self.max_upload) {
            return Err(Failure::TOO_LARGE);
        }
        let mut spool = DigestWriter::new(self.storage.spool()?);
        let mut body = Bounded::upload(request.body_mut(), self.max_upload);
        let len = io::copy(&mut body, &mut spool)?;
        let (spool, digest) = spool.finish();
        let content = FileReader::new(spool.as_file().try_clone()?.into(), 0..len);
        Ok((spool, digest, content))
    }

    fn download(&self, request: &Request<Body>, id: &FileId) -> Result<Response<Body>, Failure> {
        let session = self.session(request)?;
        let (copy, checked) = self.checked(id)?;
        let Some(copy) = copy else {
            return refused(&checked);
        };
        match &checked.decision {
            Decision::Deliver if checked.is_clean => {
                copy.rename(&self.storage)?;
                delivery::clean(&copy, request.headers())
            }
            Decision::Deliver => {
                copy.rename(&self.storage)?;
                delivery::unchecked(&copy)
            }
            Decision::Ask(notice) => self.ask(&session, &copy, &checked.decision, notice),
            _ => refused(&checked),
        }
    }

    fn ask(
        &self,
        session: &Session,
        copy: &Copy,
        question: &Decision,
        notice: &Notice,
    ) -> Result<Response<Body>, Failure> {
        let ticket = self.checker.ticket(question, &copy.digest, &session.user);
        let ticket = ticket.map_err(|error| Failure::internal(&error))?;
        Ok(pages::question(copy, notice, session, ticket.as_str()))
    }

    /// Delivers a file about which the person was asked. The file is scanned once more, because the newest verdict
    /// counts; the ticket is for this user and for the bytes of this copy.
    fn download_anyway(
        &self,
        request: &mut Request<Body>,
        id: &FileId,
    ) -> Result<Response<Body>, Failure> {
        let session = self.session(request)?;
        let form = Form::read(request)?;
        if !session.is_csrf_token(form.field("csrf_token")) {
            return Err(Failure::FORGED);
        }
        let (copy, checked) = self.checked(id)?;
        let Some(copy) = copy else {
            return refused(&checked);
        };
        let ticket = form.field("ticket");
        let redeemed = self
            .checker
            .redeem(ticket, &copy.digest, &session.user, &checked.decision);
        let code = checked.decision.notice().map_or("clean", Notice::code);
        let what = format!(
            "{:?}, {} ({code}), {}",
            session.user,
            id.as_str(),
            copy.digest
        );
        match (redeemed, checked.decision) {
            (Ok(()), _) => {
                log::warn!("override: {what}");
                copy.rename(&self.storage)?;
                delivery::unchecked(&copy)
            }
            (Err(why), decision) => {
                log::warn!("override refused: {what}: {why}");
                Ok(match decision {
                    Decision::Refuse(notice) => pages::refused(&notice),
                    _ => pages::not_permitted(id, reason(why)),
                })
            }
        }
    }

    /// A copy of the file, and what is known about it now. It is scanned again until it is clean. A file that is
    /// refused can lack a copy.
    fn checked(&self, id: &FileId) -> Result<(Option<Arc<Copy>>, Checked), Failure> {
        // Requests at the same time do not fetch a file twice: all but the first find the copy.
        let gate = self.copies.gate(id);
        let turn = gate.lock().unwrap_or_else(PoisonError::into_inner);
        match self.copies.find(id) {
            Some((copy, true)) if !self.checker.is_blind() => Ok((Some(copy), Checked::clean())),
            Some((copy, _)) => {
                drop(turn);
                let checked = self.checker.check(copy.content(), &copy.name);
                let checked = self.copies.settle(&copy.digest, Some(&copy), checked);
                Ok((Some(copy), checked))
            }
            None => self.fetch(id),
        }
    }

    fn fetch(&self, id: &FileId) -> Result<(Option<Arc<Copy>>, Checked), Failure> {
        let (file, name) = self.storage.fetch(id)?.ok_or(Failure::NOT_FOUND)?;
        let mut spool = self.storage.spool()?;
        let (checked, digest) = self.checker.fetch_and_check(file, &name, &mut spool)?;
        let Some(digest) = digest else {
            // The copy is a part of the file. What was found holds for the whole.
            let (file, _) = self.storage.fetch(id)?.ok_or(Failure::NOT_FOUND)?;
            let digest = ContentDigest::of_reader(file)?;
            return Ok((None, self.copies.settle(&digest, None, checked)));
        };
        let copy = Arc::new(Copy::new(id.clone(), name, digest, spool)?);
        let checked = self.copies.settle(&digest, Some(&copy), checked);
        Ok((Some(copy), checked))
    }
}

/// Without a scanner there are no numbers: zeros would look like a scanner at rest.
fn metrics(stats: Option<Stats>) -> Response<Body> {
    let Some(stats) = stats else {
        let why = "The virus scanner is switched off.".to_owned();
        return text(StatusCode::SERVICE_UNAVAILABLE, PLAIN, why);
    };
    let mut metrics = String::new();
    match stats.write_openmetrics(&mut metrics) {
        Ok(()) => text(StatusCode::OK, OPENMETRICS, metrics),
        Err(error) => pages::failure(&Failure::internal(&error)),
    }
}

fn refused(checked: &Checked) -> Result<Response<Body>, Failure> {
    match &checked.decision {
        Decision::Refuse(notice) => Ok(pages::refused(notice)),
        _ => Err(Failure::NOT_FOUND),
    }
}

/// For the script of the upload, which shows text.
fn plain_failure(failure: Failure) -> Response<Body> {
    text(failure.status, PLAIN, failure.text.to_owned())
}

/// What a person is told about a ticket. Whether it was edited or somebody else's is for the log alone.
fn reason(why: OverrideError) -> &'static str {
    match why {
        OverrideError::Expired => "Your permission to download the file has expired.",
        _ => "Your permission is not valid for this file.",
    }
}
