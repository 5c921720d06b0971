//! The set-up that the manual describes works as it is written there.

use libtest_mimic::Failed;

pub(crate) fn shows_the_haproxy_configuration() -> Result<(), Failed> {
    let shown = format!("```haproxy\n{}```\n", include_str!("haproxy.cfg"));
    if !include_str!("../../src/manual/haproxy.md").contains(&shown) {
        return Err("src/manual/haproxy.md does not show tests/live/haproxy.cfg as it is".into());
    }
    Ok(())
}

#[cfg(feature = "cli")]
pub(crate) mod setup {
    use std::path::Path;
    use std::process::Command;

    const PAGE: &str = include_str!("../../src/manual/c_icap.md");
    /// The commands take under ten seconds here. They wait for signatures without a limit of their own.
    const LONGEST_SECONDS: &str = "120";

    /// A block of commands, and what it prints.
    struct Block {
        commands: &'static str,
        printed: &'static str,
    }

    fn blocks() -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        for piece in PAGE.split("\n```").skip(1).step_by(2) {
            let (language, text) = piece.split_once('\n').unwrap();
            match language {
                "sh" => blocks.push(Block {
                    commands: text,
                    printed: "",
                }),
                "text" => blocks.last_mut().unwrap().printed = text,
                other => panic!("a block in {other}, and only sh and text are run"),
            }
        }
        blocks
    }

    /// Runs every command of the page. `tests/live/bare-debian` replaces what cannot be done literally.
    pub(crate) fn finds_eicar() {
        let folder = tempfile::tempdir().unwrap();
        let blocks = blocks();
        for (number, block) in blocks.iter().enumerate() {
            let path = folder.path().join(format!("{number:02}.sh"));
            std::fs::write(path, format!("{}\n", block.commands)).unwrap();
        }
        let status = Command::new("timeout")
            // In the process group of this test, so that it ends with it.
            .args(["--foreground", "--kill-after=5", LONGEST_SECONDS])
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/live/bare-debian"
            ))
            .args([folder.path(), Path::new(env!("CARGO_BIN_EXE_icap"))])
            .status()
            .unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(status.success(), "{status}");
        for (number, block) in blocks.iter().enumerate() {
            let printed = read(&format!("{number:02}.out"));
            assert_eq!(printed.trim_end(), block.printed, "{}", block.commands);
        }
        assert!(blocks.last().unwrap().printed.contains("3 infected"));
        assert_eq!(read("enabled"), "clamav-freshclam\nclamav-daemon\nc-icap\n");
        assert_eq!(
            read("failures"),
            "c-icap\n",
            "it does not start before clamd"
        );
    }
}
