//! Interactive shells. They need an image with a shell: `scripts/images python`.

use bytes::Bytes;
use engine::*;
use futures::StreamExt;
use tokio::io::AsyncWriteExt;

use crate::support::{ENDS_WITHIN, World};

const IMAGE: &str = "boatyard-local/python:3";

/// A container that has a shell, with all its processes started. Returns its name.
async fn instance(world: &World) -> String {
    let image = world.engine.image(IMAGE).await.unwrap();
    let image = image.unwrap_or_else(|| panic!("the engine has no image {IMAGE}; run: scripts/images python"));
    let spec = world.spec("web", &image, &["-c", "sleep 100000"]);
    world.engine.create(&spec).await.unwrap();
    world.engine.start(&spec.name).await.unwrap();
    let started = async { while !processes(world, &spec.name).await.iter().any(|it| it == "sleep 100000") {} };
    tokio::time::timeout(ENDS_WITHIN, started).await.expect("the program starts");
    spec.name
}

/// A person at the terminal of a shell.
struct Terminal {
    shell: Shell,
    shown: Vec<u8>,
}

impl Terminal {
    async fn open(world: &World, name: &str, mark: &ShellMark) -> Terminal {
        let shell = world.engine.open_shell(name, mark, TerminalSize::default()).await.unwrap();
        Terminal { shell, shown: Vec::new() }
    }

    async fn type_in(&mut self, text: &str) {
        self.shell.input.write_all(text.as_bytes()).await.unwrap();
        self.shell.input.flush().await.unwrap();
    }

    async fn next(&mut self) -> Option<ShellEvent> {
        let next = tokio::time::timeout(ENDS_WITHIN, self.shell.output.next());
        next.await.unwrap_or_else(|_| panic!("nothing more after {:?}", self.text())).map(Result::unwrap)
    }

    /// Reads until the shell has written this text.
    async fn until(&mut self, text: &str) {
        while !self.text().contains(text) {
            match self.next().await {
                Some(ShellEvent::Output(bytes)) => self.shown.extend_from_slice(&bytes),
                other => panic!("{other:?} after {:?}", self.text()),
            }
        }
    }

    /// Reads to the end. Returns the exit code.
    async fn end(&mut self) -> Option<i64> {
        loop {
            match self.next().await {
                Some(ShellEvent::Output(bytes)) => self.shown.extend_from_slice(&bytes),
                Some(ShellEvent::Exited { code }) => return code,
                None => panic!("no exit after {:?}", self.text()),
            }
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown).into_owned()
    }
}

/// Commands of all processes in a container, as the engine lists them.
async fn processes(world: &World, name: &str) -> Vec<String> {
    let top = world.other.top_processes(name, None).await.unwrap();
    let (titles, rows) = (top.titles.unwrap_or_default(), top.processes.unwrap_or_default());
    let column = titles.iter().position(|it| it == "CMD").expect("a column with commands");
    rows.into_iter().map(|row| row[column].clone()).collect()
}

#[tokio::test]
async fn a_shell_has_a_terminal_whose_size_can_change() {
    let world = World::new().await;
    let name = instance(&world).await;
    assert!(world.engine.has_shell(&name).await.unwrap());
    let mut at = Terminal::open(&world, &name, &ShellMark::random()).await;
    at.type_in("stty size; tty; echo $TERM $0\r").await;
    at.until("24 80\r\n").await;
    at.until("/dev/pts/0\r\nxterm-256color bash\r\n").await;
    let size = TerminalSize { width: 132, height: 50 };
    world.engine.resize_shell(&at.shell.id, size).await.unwrap();
    at.type_in("stty size\r").await;
    at.until("50 132\r\n").await;
    // Before its next prompt, the shell would not see the Ctrl-D.
    at.type_in("PS1='ne''xt>'; sh -c 'exit 7'\r").await;
    at.until("next>").await;
    at.type_in("\x04").await;
    assert_eq!(at.end().await, Some(7));
    assert_eq!(at.next().await, None);
    world.engine.resize_shell(&at.shell.id, size).await.expect("the shell has ended, which is no failure");
}

#[tokio::test]
async fn a_shell_has_the_rights_of_the_instance() {
    let world = World::new().await;
    let name = instance(&world).await;
    let mut at = Terminal::open(&world, &name, &ShellMark::random()).await;
    at.type_in("of() { grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp):' /proc/$1/status; }\r").await;
    at.type_in("of 1 | wc -l; [ \"$(of 1)\" = \"$(of self)\" ] && echo the sa''me\r").await;
    at.until("10\r\nthe same\r\n").await;
}

#[tokio::test]
async fn any_output_arrives_whole() {
    let world = World::new().await;
    let name = instance(&world).await;
    let mut at = Terminal::open(&world, &name, &ShellMark::random()).await;
    at.type_in("stty -opost; PS1=; printf 'be''gin'; head -c 5000000 /dev/zero; printf '\\001\\002\\000'; exit\r")
        .await;
    assert_eq!(at.end().await, Some(0));
    let begin = at.shown.windows(5).position(|it| it == b"begin").expect("it begins") + 5;
    let written = Bytes::from(at.shown.split_off(begin));
    let zeros = written.iter().take_while(|byte| **byte == 0).count();
    assert_eq!((zeros, &written[zeros..zeros + 3]), (5_000_000, &b"\x01\x02\x00"[..]));
}

#[tokio::test]
async fn nothing_that_a_shell_started_outlives_it() {
    let world = World::new().await;
    let name = instance(&world).await;
    let before = processes(&world, &name).await;
    let (mark, other) = (ShellMark::random(), ShellMark::random());
    let mut at = Terminal::open(&world, &name, &mark).await;
    let mut beside = Terminal::open(&world, &name, &other).await;
    at.type_in("sleep 1001 & nohup sleep 1002 & setsid sleep 1003 & env -i sleep 1004 & (sleep 1005 &)\r").await;
    at.type_in("(echo star''ted; exec sleep 1006)\r").await;
    at.until("started").await;
    // A suspended job handles no signal.
    at.type_in("\x1a").await;
    at.until("Stopped").await;
    let all_run = async {
        let runs = |all: &[String], seconds: u32| all.iter().any(|it| it.contains(&format!("sleep {seconds}")));
        loop {
            let during = processes(&world, &name).await;
            if (1001..=1005).all(|it| runs(&during, it)) {
                break;
            }
        }
    };
    tokio::time::timeout(ENDS_WITHIN, all_run).await.expect("all programs start");
    assert_eq!(world.engine.end_shell(&name, &mark).await.unwrap(), Changed::Done);
    at.end().await;
    assert_eq!(world.engine.end_shell(&name, &mark).await.unwrap(), Changed::AlreadySo);

    beside.type_in("echo al''ive\r").await;
    beside.until("alive").await;
    assert_eq!(world.engine.end_shell(&name, &other).await.unwrap(), Changed::Done);
    assert_eq!(processes(&world, &name).await, before);
}

#[tokio::test]
async fn a_dropped_shell_is_found_by_its_mark_from_another_client() {
    let world = World::new().await;
    let name = instance(&world).await;
    let before = processes(&world, &name).await;
    let mark = ShellMark::random();
    let mut at = Terminal::open(&world, &name, &mark).await;
    at.type_in("echo re''ady\r").await;
    at.until("ready").await;
    drop(at);
    let next = DockerEngine::connect(&crate::support::socket(), world.installation.clone()).unwrap();
    assert_eq!(next.end_shell(&name, &mark).await.unwrap(), Changed::Done);
    assert_eq!(processes(&world, &name).await, before);
}

#[tokio::test]
async fn a_shell_ends_with_its_container() {
    let world = World::new().await;
    let name = instance(&world).await;
    let mark = ShellMark::random();
    let mut at = Terminal::open(&world, &name, &mark).await;
    at.type_in("echo re''ady\r").await;
    at.until("ready").await;
    assert_eq!(world.engine.stop(&name, std::time::Duration::from_secs(5)).await.unwrap(), Changed::Done);
    let code = at.end().await;
    assert!(matches!(code, None | Some(137)), "{code:?}");
    assert_eq!(world.engine.end_shell(&name, &mark).await.unwrap(), Changed::AlreadySo);
    for error in [
        world.engine.has_shell(&name).await.unwrap_err(),
        world.engine.open_shell(&name, &mark, TerminalSize::default()).await.err().expect("no shell"),
    ] {
        assert!(matches!(error, EngineError::Conflict { .. }), "{error}");
    }
    world.engine.remove(&name).await.unwrap();
    assert_eq!(world.engine.end_shell(&name, &mark).await.unwrap(), Changed::AlreadySo);
    assert!(matches!(world.engine.has_shell(&name).await, Err(EngineError::NotFound { .. })));
}

#[tokio::test]
async fn an_image_without_a_shell_is_recognised() {
    let world = World::new().await;
    let image = world.build("bare", "FROM scratch\nCOPY helper /bin/helper\n").await.unwrap();
    let command = Some(vec!["/bin/helper".to_owned(), "serve".to_owned()]);
    let spec = ContainerSpec { command, ..world.spec("bare", &image, &[]) };
    world.engine.create(&spec).await.unwrap();
    world.engine.start(&spec.name).await.unwrap();
    assert!(!world.engine.has_shell(&spec.name).await.unwrap());
}
