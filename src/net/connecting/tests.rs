use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Condvar, Mutex};
use std::time::Instant;

use super::*;
use crate::net::cancel::Cancel;
use crate::net::shortage::is_shortage;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(20);

/// The threads of one server.
const SHARE: usize = 12;

fn service() -> ServiceUri {
    "icap://av.example/scan".parse().unwrap()
}

fn helpers() -> Arc<Helpers<Connected>> {
    Helpers::new("icap-test", MAX_CONNECT_THREADS, SHORT)
}

/// A connector that hangs until its gate is open, and then connects to a listener of the test.
struct Hanging {
    listener: TcpListener,
    began: Mutex<Sender<()>>,
    is_open: Mutex<bool>,
    opens: Condvar,
}

impl Hanging {
    fn new() -> (Arc<Self>, Receiver<()>) {
        let (began, begins) = mpsc::channel();
        let hanging = Self {
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            began: Mutex::new(began),
            is_open: Mutex::new(false),
            opens: Condvar::new(),
        };
        (Arc::new(hanging), begins)
    }

    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opens.notify_all();
    }
}

impl Connect for Hanging {
    fn connect(&self, _: &ServiceUri, _: Duration) -> io::Result<Box<dyn Stream>> {
        self.began.lock().unwrap().send(()).unwrap();
        let mut is_open = self.is_open.lock().unwrap();
        while !*is_open {
            is_open = self.opens.wait(is_open).unwrap();
        }
        let address = self.listener.local_addr()?;
        Ok(Box::new(TcpStream::connect(address)?))
    }
}

fn as_connect(connector: &Arc<Hanging>) -> Arc<dyn Connect> {
    Arc::clone(connector) as Arc<dyn Connect>
}

fn deadline(cancel: &Cancel) -> Deadline {
    Deadline::by_system(None).or_cancelled(Some(cancel.clone()))
}

#[test]
fn abandoned_connection_is_closed_and_its_thread_ends() {
    let ((hanging, begins), helpers, cancel) = (Hanging::new(), helpers(), Cancel::new());
    let connector = as_connect(&hanging);
    let connected = std::thread::scope(|scope| {
        let call = scope
            .spawn(|| connect_with(&helpers, &connector, &service(), LONG, &deadline(&cancel)));
        begins.recv().unwrap();
        cancel.cancel();
        call.join().unwrap()
    });
    assert!(connected.is_err());
    assert_eq!(helpers.lock().under_way.len(), 1);
    hanging.open();
    let (mut server, _) = hanging.listener.accept().unwrap();
    server.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
    let began = Instant::now();
    while helpers.lock().threads > 0 {
        assert!(began.elapsed() < LONG);
        std::thread::yield_now();
    }
}

#[test]
fn caller_in_line_leaves_no_task_and_no_blame() {
    let ((hanging, begins), helpers) = (Hanging::new(), helpers());
    let connector = as_connect(&hanging);
    let (held, waiting) = (Cancel::new(), Cancel::new());
    let other: ServiceUri = "icap://other.example/scan".parse().unwrap();
    let to = |uri: &ServiceUri, cancel: &Cancel, timeout| {
        connect_with(&helpers, &connector, uri, timeout, &deadline(cancel))
    };
    let call = |cancel: &Cancel, timeout| to(&service(), cancel, timeout);
    let has_begun = || begins.recv_timeout(LONG).unwrap();
    std::thread::scope(|scope| {
        (0..SHARE).for_each(|_| drop(scope.spawn(|| call(&held, LONG))));
        (0..SHARE).for_each(|_| has_begun());
        let in_line = scope.spawn(|| call(&waiting, LONG));
        while helpers.lock().line.is_empty() {
            std::thread::yield_now();
        }
        waiting.cancel();
        assert!(in_line.join().unwrap().is_err());
        assert!(helpers.lock().line.is_empty());

        // Time in line is no fault of the server's.
        let error = call(&Cancel::new(), SHORT).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(is_shortage(&error), "{error}");

        // Another service of that server has no thread either, by whichever name.
        let path: ServiceUri = "icap://av.example/other".parse().unwrap();
        let name: ServiceUri = "icap://alias.example/scan".parse().unwrap();
        for same in [path, name.with_address("av.example").unwrap()] {
            assert!(is_shortage(
                &to(&same, &Cancel::new(), SHORT).err().unwrap()
            ));
        }

        // Another server has threads all the same.
        for _ in SHARE..MAX_CONNECT_THREADS {
            scope.spawn(|| to(&other, &held, LONG));
            has_begun();
        }
        assert!(to(&other, &Cancel::new(), SHORT).is_err());
        assert_eq!(helpers.lock().threads, MAX_CONNECT_THREADS);
        held.cancel();
        hanging.open();
    });
}

#[test]
fn panic_of_a_connector_comes_out_in_its_caller() {
    struct Panics;
    impl Connect for Panics {
        fn connect(&self, _: &ServiceUri, _: Duration) -> io::Result<Box<dyn Stream>> {
            panic!("on purpose");
        }
    }
    let (helpers, connector): (_, Arc<dyn Connect>) = (helpers(), Arc::new(Panics));
    for _ in 0..3 {
        let connect = || {
            connect_with(
                &helpers,
                &connector,
                &service(),
                LONG,
                &deadline(&Cancel::new()),
            )
        };
        let panic = catch_unwind(AssertUnwindSafe(connect)).err().unwrap();
        assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
    }
    assert!(helpers.lock().threads <= 1);
}

#[test]
fn panic_of_an_abandoned_stream_keeps_the_thread() {
    /// A stream, and what it panics with.
    #[derive(Debug)]
    struct PanicsInDrop;
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            std::panic::panic_any(PanicsOnceMore);
        }
    }
    struct PanicsOnceMore;
    impl Drop for PanicsOnceMore {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let helpers: Arc<Helpers<PanicsInDrop>> = Helpers::new("icap-test", 1, LONG);
    for _ in 0..3 {
        let (leave, left) = mpsc::channel();
        let (runs, run) = mpsc::channel();
        let left = Mutex::new(left);
        let task = Task::new("av.example", move || {
            left.lock().unwrap().recv().unwrap();
            runs.send(()).unwrap();
            PanicsInDrop
        });
        helpers.line_up(&mut helpers.lock(), &task).unwrap();
        drop(task);
        leave.send(()).unwrap();
        run.recv_timeout(LONG).expect("a thread runs the task");
    }
}

#[test]
fn timeout_after_a_long_time_in_line_is_a_shortage() {
    struct TimesOut;
    impl Connect for TimesOut {
        fn connect(&self, _: &ServiceUri, _: Duration) -> io::Result<Box<dyn Stream>> {
            Err(io::ErrorKind::TimedOut.into())
        }
    }
    let connector: Arc<dyn Connect> = Arc::new(TimesOut);
    // The rest of the time after the line.
    for (left, is_local) in [(LONG, false), (LONG * 3 / 4, true), (LONG / 4, true)] {
        let deadline = deadline(&Cancel::new()).within(left, TimeLimit::ConnectTimeout);
        let task = new_task(&connector, &service(), LONG, &deadline);
        let helpers = helpers();
        helpers.line_up(&mut helpers.lock(), &task).unwrap();
        let done = task.wait(&Deadline::by_system(LONG), Option::take);
        let error = done.unwrap().unwrap().err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(is_shortage(&error), is_local, "{left:?}");
    }
}

#[test]
fn connector_is_not_called_after_its_time_or_a_cancel() {
    let ((hanging, begins), cancel) = (Hanging::new(), Cancel::new());
    let over = deadline(&Cancel::new()).within(Duration::ZERO, TimeLimit::Deadline);
    cancel.cancel();
    for deadline in [over, deadline(&cancel)] {
        let task = new_task(&as_connect(&hanging), &service(), LONG, &deadline);
        let helpers = helpers();
        helpers.line_up(&mut helpers.lock(), &task).unwrap();
        let done = task.wait(&Deadline::by_system(LONG), Option::take);
        assert!(done.unwrap().unwrap().is_err());
    }
    assert!(begins.try_recv().is_err());
}
