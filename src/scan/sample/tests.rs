use super::*;

fn bytes(sample: &Sample) -> Vec<u8> {
    let mut bytes = Vec::new();
    sample.clone().read_to_end(&mut bytes).unwrap();
    bytes
}

fn ends_with_eicar_at(bytes: &[u8]) -> usize {
    let eicar = eicar();
    let found: Vec<_> = memchr::memmem::find_iter(bytes, &eicar).collect();
    assert_eq!(found.len(), 1);
    found[0]
}

#[test]
fn archive_has_exactly_its_length() {
    let lens = [0, 1, 95, 96, 97, 98, 1000, 100_000].map(|more| MIN_ARCHIVE + more);
    let edges = (MEMBER..MEMBER + 700).step_by(41);
    for len in lens.into_iter().chain(edges).chain([2 * MEMBER + 17]) {
        let sample = Sample::archive(len);
        assert_eq!(sample.len(), len);
        let all = bytes(&sample);
        assert_eq!(all.len() as u64, len);
        assert!(ends_with_eicar_at(&all) > 30 + "eicar.com".len());
    }
    assert_eq!(Sample::archive(0).len(), MIN_ARCHIVE);
    assert_eq!(Sample::archive(u64::MAX).len(), MAX_ARCHIVE);
}

#[test]
fn each_archive_is_another_one() {
    let (one, other) = (Sample::archive(1000), Sample::archive(1000));
    assert_ne!(bytes(&one), bytes(&other));
    assert_eq!(bytes(&one), bytes(&one));
    for sample in [Sample::pdf(0), Sample::image(0), Sample::office(0)] {
        assert!(sample.len() < 1100);
        ends_with_eicar_at(&bytes(&sample));
    }
    for sample in [Sample::pdf, Sample::image, Sample::office].map(|make| make(8000)) {
        assert!((8000..9100).contains(&sample.len()));
        ends_with_eicar_at(&bytes(&sample));
    }
}

#[test]
fn each_member_of_an_archive_is_another_one() {
    let all = bytes(&Sample::archive(4 * MEMBER));
    let length = usize::try_from(MEMBER).unwrap();
    let heads = memchr::memmem::find_iter(&all, b"PK\x03\x04");
    let members: Vec<_> = heads
        .filter_map(|head| all.get(head + 40..head + 40 + length))
        .collect();
    assert!(members.len() >= 3);
    for (number, member) in members.iter().enumerate() {
        // Not even a part of them is the same.
        let others = members.iter().skip(number + 1);
        for (part, other) in others.flat_map(|it| member.chunks(64).zip(it.chunks(64))) {
            assert_ne!(part, other);
        }
    }
}

/// Through a pipe, because no file may contain EICAR.
#[test]
fn archives_are_read_by_python() {
    use std::io::Write;
    use std::process::{Command, Stdio};

    let script = "import io, sys, zipfile\nz = zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read()))\n\
        assert z.testzip() is None\nprint(len(z.read(z.infolist()[-1])), len(z.namelist()))";
    for (sample, members) in [
        (Sample::archive(2 * MEMBER + 5), 3),
        (Sample::image(100), 2),
        (Sample::office(100), 4),
    ] {
        let mut command = Command::new("python3");
        command
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        // Without Python there is nothing to compare with.
        let Ok(mut python) = command.spawn() else {
            return;
        };
        let mut input = python.stdin.take().unwrap();
        input.write_all(&bytes(&sample)).unwrap();
        drop(input);
        let output = python.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text.trim(), format!("68 {members}"), "{output:?}");
    }
}

#[test]
fn sample_is_the_same_at_every_split_and_position() {
    let mut sample = Sample::archive(2 * MEMBER + 1000);
    let all = bytes(&sample);
    for at in [0, 1, 7, 8, 39, 40, 41, 1 << 20, all.len() - 100, all.len()] {
        sample.seek(SeekFrom::Start(at as u64)).unwrap();
        for size in [1, 3, 8, 100, 5000] {
            let before = usize::try_from(sample.stream_position().unwrap()).unwrap();
            let mut buffer = vec![0; size];
            let len = sample.read(&mut buffer).unwrap();
            assert_eq!(buffer[..len], all[before..before + len], "{at}, {size}");
            assert_eq!(len == 0, before == all.len());
        }
    }
    sample.seek(SeekFrom::Start(u64::MAX)).unwrap();
    assert_eq!(sample.read(&mut [0]).unwrap(), 0);
    assert!(sample.seek(SeekFrom::Current(1)).is_err());
}

#[test]
fn last_byte_is_held_back_at_each_reading() {
    let mut sample = Sample::eicar().held_back();
    for _ in 0..2 {
        sample.seek(SeekFrom::Start(0)).unwrap();
        let mut buffer = [0; 100];
        assert_eq!(sample.read(&mut buffer).unwrap(), 67);
        for _ in 0..HOLD_SLICES {
            let error = sample.read(&mut buffer).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        }
        assert_eq!(sample.read(&mut buffer).unwrap(), 1);
        assert_eq!(sample.read(&mut buffer).unwrap(), 0);
    }
}

#[test]
fn pause_is_longer_than_the_time_for_gathering() {
    use crate::client::reading::GATHERING;
    assert!(HOLD_SLICE * HOLD_SLICES >= GATHERING + Duration::from_millis(300));
    assert!(HOLD_SLICE < GATHERING);
}
