#!/usr/bin/python3
"""What a person sees of the gateway, in headless Chromium, with a real c-icap and clamd.

    browser.py GATEWAY SCREENSHOTS

GATEWAY is the program, SCREENSHOTS a folder for a picture of each step. tests/run starts the servers
and sets ICAP_LIVE_URI and ICAP_LIVE_BLIND. All traffic stays on 127.0.0.1. Nothing is left behind but
the pictures, also if a step fails or the script is ended by a signal.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

from selenium import webdriver
from selenium.common.exceptions import TimeoutException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

# Seconds for whatever a person waits for. It is long, because the machine may be busy.
LIMIT = 30

# The service with the arguments that the manual recommends.
SERVICE = "virus_scan?allow204=on&force=on&sizelimit=off&mode=simple"

# Larger files are not scanned.
MAX_SCAN = 100_000


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    program, pictures = (pathlib.Path(it).resolve() for it in sys.argv[1:])
    pictures.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # For Chromium's own files.
        os.environ["TMPDIR"] = str(folder)
        # Selenium would ask a proxy for the driver.
        os.environ["NO_PROXY"] = "127.0.0.1,localhost"
        machine = Machine(program, folder, stack)
        person = Person(folder, pictures, stack)
        for step in STEPS:
            person.step = step.__name__
            print(f"browser: {step.__name__.replace('_', ' ')}", flush=True)
            try:
                step(machine, person)
            except AssertionError:
                person.picture("failed")
                print(person.text(), file=sys.stderr)
                raise
    print(f"{len(STEPS)} passed, 0 failed")


# --- what a person does and sees --------------------------------------------------------------


def clean_file_is_downloaded(machine, person):
    person.visits(machine.scanning())
    person.logs_in("jane")
    person.uploads("Übung 1.txt", b"hello")
    person.sees("The file was checked and stored.")
    person.picture("stored")
    person.follows("Übung 1.txt")
    person.has_downloaded("Übung 1.txt", b"hello")
    person.sees("You are jane.")
    assert person.files() == ["Übung 1.txt"], person.files()


def infected_file_is_refused(machine, person):
    person.visits(machine.scanning())
    person.logs_in("jane")
    person.uploads("invoice.pdf.com", eicar())
    person.sees('The file was not stored. The file "invoice.pdf.com" contains malware (Eicar-Test-Signature')
    person.picture("refused")
    person.visits(machine.scanning())
    person.does_not_see("invoice.pdf.com")


def infected_file_of_the_drive_is_refused(machine, person):
    # It was stored while the scanner was switched off.
    person.visits(machine.switched_off())
    person.logs_in("jane")
    person.sees("The virus scanner is switched off. Files are delivered unchecked.")
    person.uploads("tool.com", eicar())
    person.sees("The file was stored. It was not checked.")
    person.picture("switched_off")
    person.visits(machine.scanning_the_same_drive())
    person.logs_in("jane")
    person.opens("tool.com")
    person.sees("This file is not delivered")
    person.sees('The file "tool.com" contains malware (Eicar-Test-Signature')
    person.picture("refused")
    person.does_not_see("anyway")
    person.has_not_downloaded("tool.com")


def person_is_asked_about_a_file_that_is_too_large(machine, person):
    person.visits(machine.scanning())
    person.logs_in("jane")
    person.uploads("film.mp4", large(b"f"))
    person.sees('The file was stored. The file "film.mp4" is larger than')
    person.opens("film.mp4")
    person.sees("This file was not checked")
    person.sees("and was not checked for malware.")
    person.picture("asked")
    person.has_not_downloaded("film.mp4")
    person.presses("Download it anyway")
    person.has_downloaded("film.mp4", large(b"f"))


def person_is_asked_while_the_server_is_down(machine, person):
    person.visits(machine.with_a_server_that_is_down())
    person.logs_in("jane")
    person.uploads("letter.txt", b"a letter")
    person.sees("The file was stored.")
    person.opens("letter.txt")
    person.sees("This file was not checked")
    person.sees_code("connect_error")
    person.picture("asked")
    person.presses("Download it anyway")
    person.has_downloaded("letter.txt", b"a letter")


def ticket_loses_to_a_newer_infected_verdict(machine, person):
    # The scanner is down when the person is asked, and up when the person decides.
    person.visits(machine.with_a_server_that_is_down())
    person.logs_in("jane")
    person.uploads("report.com", eicar())
    person.opens("report.com")
    person.sees_code("connect_error")
    person.picture("asked")
    machine.server_comes_up()
    person.presses("Download it anyway")
    person.sees("This file is not delivered")
    person.sees('The file "report.com" contains malware (Eicar-Test-Signature')
    person.picture("refused")
    person.has_not_downloaded("report.com")


def person_is_asked_while_the_server_is_blind(machine, person):
    person.visits(machine.with_a_blind_server())
    person.logs_in("jane")
    person.uploads("prize.com", eicar())
    person.sees("The file was stored.")
    person.opens("prize.com")
    person.sees("This file was not checked")
    person.sees_code("no_engine", "early_response")
    person.picture("asked")
    person.has_not_downloaded("prize.com")


def ticket_of_another_file_is_refused(machine, person):
    person.visits(machine.scanning())
    person.logs_in("jane")
    person.uploads("one.bin", large(b"1"))
    person.opens("one.bin")
    ticket = person.field("ticket")
    person.visits(machine.scanning())
    person.uploads("two.bin", large(b"2"))
    person.opens("two.bin")
    person.writes("ticket", ticket)
    person.is_not_permitted("two.bin")


def ticket_of_another_user_is_refused(machine, person):
    person.visits(machine.scanning())
    person.logs_in("jane")
    person.uploads("three.bin", large(b"3"))
    person.opens("three.bin")
    ticket = person.field("ticket")
    person.visits(machine.scanning())
    person.logs_in("joe")
    person.opens("three.bin")
    person.writes("ticket", ticket)
    person.is_not_permitted("three.bin")


def edited_ticket_is_refused(machine, person):
    person.visits(machine.scanning())
    person.logs_in("jane")
    person.uploads("four.bin", large(b"4"))
    person.opens("four.bin")
    ticket = person.field("ticket")
    # The time of expiry, which begins at the third digit, is moved far into the future.
    person.writes("ticket", ticket[:2] + "7f" + ticket[4:])
    person.is_not_permitted("four.bin")


def expired_ticket_is_refused(machine, person):
    person.visits(machine.with_tickets_that_expire_at_once())
    person.logs_in("jane")
    person.uploads("five.bin", large(b"5"))
    person.opens("five.bin")
    person.sees("This file was not checked")
    person.presses("Download it anyway")
    person.sees("Your permission to download the file has expired.")
    person.picture("refused")
    person.has_not_downloaded("five.bin")
    person.follows("Open the file again")
    person.sees("This file was not checked")


def form_of_another_site_is_refused(machine, person):
    person.visits(machine.scanning())
    person.logs_in("jane")
    person.uploads("six.bin", large(b"6"))
    person.opens("six.bin")
    person.writes("csrf_token", "0" * 32)
    person.presses("Download it anyway")
    person.sees("This request does not come from a page of this site")
    person.picture("refused")
    person.has_not_downloaded("six.bin")


def name_of_a_file_is_only_text(machine, person):
    person.visits(machine.scanning())
    person.logs_in("<img src=x onerror=document.title='hacked'>")
    person.sees("You are <img src=x onerror=document.title='hacked'>.")
    person.uploads("a&lt;b&amp;'c.txt", b"hello")
    person.sees("The file was checked and stored.")
    person.visits(machine.scanning())
    person.sees("a&lt;b&amp;'c.txt")
    person.picture("shown")
    assert person.driver.title == "Files", person.driver.title


def operator_sees_the_numbers(machine, person):
    person.visits(machine.status_of_scanning())
    lines = person.text().splitlines()
    assert "infected 1" in lines and "errors 0" in lines, lines
    person.picture("shown")


STEPS = [
    clean_file_is_downloaded,
    infected_file_is_refused,
    infected_file_of_the_drive_is_refused,
    person_is_asked_about_a_file_that_is_too_large,
    person_is_asked_while_the_server_is_down,
    ticket_loses_to_a_newer_infected_verdict,
    person_is_asked_while_the_server_is_blind,
    ticket_of_another_file_is_refused,
    ticket_of_another_user_is_refused,
    edited_ticket_is_refused,
    expired_ticket_is_refused,
    form_of_another_site_is_refused,
    name_of_a_file_is_only_text,
    operator_sees_the_numbers,
]


def large(byte):
    return byte * (MAX_SCAN + 1)


def eicar():
    """Assembled here, so that no scanner reports this file."""
    return b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EIC" + b"AR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


# --- the machine ------------------------------------------------------------------------------


class Machine:
    """The gateways, each with another scanner."""

    def __init__(self, program, folder, stack):
        self.program, self.folder, self.stack = program, folder, stack
        self.started, self.status, self.processes = {}, {}, {}
        # A port on which nothing listens yet.
        self.port = stack.enter_context(socket.socket())
        self.port.bind(("127.0.0.1", 0))

    def scanning(self):
        return self.gateway("scanning", os.environ["ICAP_LIVE_URI"])

    def switched_off(self):
        return self.gateway("switched off", os.environ["ICAP_LIVE_URI"], "--no-scan", drive="shared")

    def scanning_the_same_drive(self):
        # A drive belongs to one gateway at a time.
        end(self.processes["switched off"])
        return self.gateway("same drive", os.environ["ICAP_LIVE_URI"], drive="shared")

    def with_a_server_that_is_down(self):
        return self.gateway("down", "icap://127.0.0.1:%d" % self.port.getsockname()[1])

    def with_a_blind_server(self):
        return self.gateway("blind", os.environ["ICAP_LIVE_BLIND"])

    def with_tickets_that_expire_at_once(self):
        return self.gateway("expired", os.environ["ICAP_LIVE_URI"], "--ticket-seconds", "0")

    def gateway(self, name, icap, *arguments, drive=None):
        """Starts a gateway once; its address."""
        if name not in self.started:
            command = [self.program, "--icap", f"{icap}/{SERVICE}", "--data", self.folder / (drive or name)]
            command += ["--listen", "127.0.0.1:0", "--operator", "127.0.0.1:0", "--max-scan", str(MAX_SCAN)]
            process = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True)
            self.stack.callback(end, process)
            self.processes[name] = process
            self.status[name] = process.stdout.readline().removeprefix("status on ").strip()
            self.started[name] = process.stdout.readline().removeprefix("listening on ").strip()
        return self.started[name]

    def status_of_scanning(self):
        self.scanning()
        return self.status["scanning"]

    def server_comes_up(self):
        """From now on the port of the server that was down leads to the real one."""
        self.port.listen()
        threading.Thread(target=self.forward, daemon=True).start()

    def forward(self):
        host, port = os.environ["ICAP_LIVE_URI"].removeprefix("icap://").split(":")
        with contextlib.suppress(OSError):
            while True:
                client = self.port.accept()[0]
                server = socket.create_connection((host, int(port)))
                for source, target in (client, server), (server, client):
                    threading.Thread(target=pipe, args=(source, target), daemon=True).start()


def pipe(source, target):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def end(process):
    process.kill()
    process.wait()


# --- the browser ------------------------------------------------------------------------------


class Person:
    def __init__(self, folder, pictures, stack):
        self.pictures, self.step, self.count = pictures, "", 0
        self.uploaded, self.downloaded = folder / "uploaded", folder / "downloaded"
        self.uploaded.mkdir()
        self.downloaded.mkdir()
        self.driver = webdriver.Chrome(options=self.options(folder), service=Service(shutil.which("chromedriver")))
        stack.callback(self.driver.quit)

    def options(self, folder):
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for argument in (
            "headless=new",
            "no-sandbox",  # it does not work for root
            "disable-dev-shm-usage",
            "disable-gpu",
            "window-size=900,800",
            f"user-data-dir={folder / 'profile'}",
            # Nothing leaves this machine.
            "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "disable-background-networking",
            "disable-component-update",
            "no-first-run",
        ):
            options.add_argument("--" + argument)
        options.add_experimental_option(
            "prefs",
            {"download.default_directory": str(self.downloaded), "safebrowsing.enabled": False},
        )
        return options

    def visits(self, site, page=""):
        self.site = site
        self.driver.get(site + page)

    def logs_in(self, user):
        self.visits(self.site, "login")
        self.find(By.NAME, "user").send_keys(user)
        self.presses("Log in")
        self.sees(f"You are {user}.")

    def uploads(self, name, content):
        path = self.uploaded / name
        path.write_bytes(content)
        self.find(By.ID, "file").send_keys(str(path))
        self.presses("Upload")
        self.until(lambda: "…" not in self.result() and self.result(), "the end of the upload")
        path.unlink()

    def result(self):
        return self.driver.find_element(By.ID, "result").text

    def files(self):
        """The names in the list of the drive."""
        return [link.text for link in self.driver.find_elements(By.CSS_SELECTOR, "#files a")]

    def opens(self, name):
        self.visits(self.site)
        self.follows(name)

    def follows(self, link):
        self.find(By.LINK_TEXT, link).click()

    def presses(self, button):
        self.find(By.XPATH, f"//button[.='{button}']").click()

    def field(self, name):
        return self.find(By.NAME, name).get_attribute("value")

    def writes(self, name, value):
        """What a person does who knows the tools of the browser."""
        field = self.find(By.NAME, name)
        self.driver.execute_script("arguments[0].value = arguments[1]", field, value)

    def is_not_permitted(self, name):
        self.presses("Download it anyway")
        self.sees("The file was not downloaded")
        self.sees("Your permission is not valid for this file.")
        self.picture("refused")
        self.has_not_downloaded(name)

    def sees(self, text):
        self.until(lambda: text in self.text(), text)

    def does_not_see(self, text):
        assert text not in self.text(), text

    def sees_code(self, *codes):
        code = self.find(By.CLASS_NAME, "notice").get_attribute("data-code")
        assert code in codes, code

    def has_downloaded(self, name, content):
        path = self.downloaded / name
        self.until(path.exists, f"the file {name}")
        assert path.read_bytes() == content, name
        path.unlink()

    def has_not_downloaded(self, name):
        assert list(self.downloaded.iterdir()) == [], name

    def find(self, by, what):
        return self.until(lambda: self.driver.find_element(by, what), what)

    def until(self, condition, what):
        # The driver has many errors for a page that changes while it is read.
        errors = (WebDriverException,)
        wait = WebDriverWait(self.driver, LIMIT, poll_frequency=0.05, ignored_exceptions=errors)
        try:
            return wait.until(lambda _: condition())
        except TimeoutException:
            raise AssertionError(f"not seen: {what}") from None

    def text(self):
        # A tab is between the cells of a table.
        return self.driver.execute_script("return document.body.innerText").replace("\t", " ")

    def picture(self, what):
        self.count += 1
        path = self.pictures / f"{self.count:02}-{self.step}-{what}.png"
        self.driver.save_screenshot(str(path))


if __name__ == "__main__":
    main()
