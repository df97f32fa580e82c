//! The first steps on another computer: a login over HTTPS, then the commands of DigitalOcean's guide.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use boatyard_tests::installation::Installation;
use tempfile::TempDir;

use crate::support::*;
use crate::terminal::Terminal;

/// Another computer: an empty home directory, and no settings in the environment.
struct Computer(TempDir);

impl Computer {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(args).env("HOME", self.0.path()).env_remove("XDG_CONFIG_HOME").env_remove("SSL_CERT_FILE");
        for name in ["API_URL", "TOKEN", "CONTEXT"] {
            command.env_remove(format!("BOATYARD_{name}"));
        }
        // No server runs on this computer.
        command.env("BOATYARD_DATA_DIR", "");
        command
    }

    fn config(&self) -> PathBuf {
        self.0.path().join(".config/boatyard/config.yaml")
    }

    /// Runs a command in a pipe.
    fn run(&self, args: &[&str]) -> Output {
        ended(self.command(args).stdin(Stdio::null()))
    }
}

fn ended(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Output { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// The HTTPS address of the API and the file of its authority, as `serve` printed them.
fn https(at: &Installation) -> (String, String) {
    let log = at.log();
    let (_, line) = log.split_once("https://").expect("serve prints the address");
    let (address, rest) = line.split_once(' ').unwrap();
    let (_, file) = rest.lines().next().unwrap().split_once("clients have to trust ").unwrap();
    (format!("https://{address}"), file.to_owned())
}

/// A command on a terminal with everything that it shows, for the record of the session.
fn shown(computer: &Computer, session: &mut String, args: &[&str], typed: Option<(&str, &str)>) -> Option<i32> {
    let mut terminal = Terminal::of(computer.command(args));
    if let Some((prompt, input)) = typed {
        terminal.until(prompt);
        assert!(!terminal.is_echoing(), "the token is not shown");
        terminal.type_in(&format!("{input}\n"));
    }
    let (code, text) = terminal.end();
    session.push_str(&format!("$ boatyard {}\n{}", args.join(" "), text.replace('\r', "")));
    code
}

/// Prints the session, which the README shows.
#[tokio::test(flavor = "multi_thread")]
async fn from_the_first_login_to_the_first_restart_on_a_terminal() {
    let at = Installation::start_with(PROGRAM, &["--api-tls", "127.0.0.1:0"]).await.unwrap();
    let spec = shop().replacen("value: api}", "value: api}, {key: PRINT, value: open-for-business}", 1);
    at.create(&spec).await.unwrap();
    let app = app_id(&at, "shop").await;
    let before = at.container_ids(&app, "web").await.unwrap();
    let (url, authority) = https(&at);
    let computer = Computer::new();
    let init = ["auth", "init", "--api-url", &url, "--certificate-authority", &authority];
    let prompt = format!("Token for {url} (not shown): ");

    let mut wrong = String::new();
    assert_eq!(shown(&computer, &mut wrong, &init, Some((&prompt, "a-wrong-token"))), Some(1), "{wrong}");
    assert!(wrong.contains("nothing was saved") && wrong.contains("comes from standard input"), "{wrong}");
    assert!(!wrong.contains("a-wrong-token") && !computer.config().exists(), "{wrong}");

    let mut session = String::new();
    assert_eq!(shown(&computer, &mut session, &init, Some((&prompt, at.token()))), Some(0), "{session}");
    assert!(session.contains(&format!("Saved context default for {url}")), "{session}");
    let mode = std::fs::metadata(computer.config()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let steps: [(&[&str], &str); 4] = [
        (&["auth", "list"], "current"),
        (&["apps", "list", "--format", "ID,Spec.Name,Status"], "ACTIVE"),
        (&["apps", "restart", &app, "--format", "ID,Status"], "Deployment 2"),
        (&["apps", "create-deployment", &app, "--force-rebuild", "--format", "ID,Status"], "Deployment 3"),
    ];
    let step = |args: &[&str], expected: &str| {
        let mut text = String::new();
        assert_eq!(shown(&computer, &mut text, args, None), Some(0), "{text}");
        assert!(text.contains(expected), "{expected}: {text}");
        text
    };
    session.extend(steps.map(|(args, expected)| step(args, expected)));
    let waited = computer.run(&["apps", "get-deployment", "shop", "3", "--wait"]);
    assert_eq!(waited.code, Some(0), "{}", waited.err);
    session.push_str(&step(&["apps", "explain", "shop"], "shop serves deployment 3"));
    assert!(!session.contains(at.token()), "{session}");
    assert_ne!(at.container_ids(&app, "web").await.unwrap(), before, "the app was restarted");
    let logs = computer.run(&["apps", "logs", "shop", "api", "--no-prefix"]);
    assert!(logs.out.contains("open-for-business"), "{} {}", logs.out, logs.err);
    println!("{}", session.replace(at.token(), "TOKEN"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_authority_is_refused_until_a_variable_or_a_context_names_it() {
    let at = Installation::start_with(PROGRAM, &["--api-tls", "127.0.0.1:0"]).await.unwrap();
    let (url, authority) = https(&at);
    let computer = Computer::new();
    let list = ["apps", "list", "--api-url", &url, "--token", at.token()];
    let refused = computer.run(&list);
    assert_eq!(refused.code, Some(1), "{}", refused.out);
    for words in [url.as_str(), "SSL_CERT_FILE", "--certificate-authority"] {
        assert!(refused.err.contains(words), "{words}: {}", refused.err);
    }
    let trusted = ended(computer.command(&list).env("SSL_CERT_FILE", &authority));
    assert_eq!(trusted.code, Some(0), "{}", trusted.err);
    let wrong_name = url.replace("127.0.0.1", "[::ffff:127.0.0.1]");
    let wrong_name = ["apps", "list", "--api-url", &wrong_name, "--token", at.token()];
    let wrong_name = ended(computer.command(&wrong_name).env("SSL_CERT_FILE", &authority));
    assert!(wrong_name.err.contains("for another name"), "{}", wrong_name.err);
    let http = format!("https://{}", at.api());
    let no_tls = computer.run(&["apps", "list", "--api-url", &http, "--token", at.token()]);
    assert!(no_tls.err.contains("does not speak TLS"), "{}", no_tls.err);

    let init = ["auth", "init", "--api-url", &url, "--token", at.token(), "--certificate-authority", &authority];
    let saved = computer.run(&init);
    assert_eq!(saved.code, Some(0), "{}", saved.err);
    assert_eq!(computer.run(&["apps", "list"]).code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn contexts_are_saved_switched_and_removed() {
    let (one, other) = (installation().await, installation().await);
    other.create(&shop()).await.unwrap();
    let computer = Computer::new();
    let (one_url, other_url) = (format!("http://{}", one.api()), format!("http://{}", other.api()));
    let good = |args: &[&str]| {
        let output = computer.run(args);
        assert_eq!(output.code, Some(0), "{args:?}: {}", output.err);
        output
    };
    good(&["auth", "init", "--api-url", &one_url, "--token", one.token()]);
    let second = good(&["auth", "init", "--context", "other", "--api-url", &other_url, "--token", other.token()]);
    assert!(second.err.contains("auth switch --context other"), "{}", second.err);
    let names = ["apps", "list", "--format", "Name", "--no-header"];
    assert_eq!(good(&names).out, "");
    assert_eq!(good(&[&names[..], &["--context", "other"]].concat()).out, "shop\n");
    let variable = ended(computer.command(&names).env("BOATYARD_CONTEXT", "other").stdin(Stdio::null()));
    assert_eq!(variable.out, "shop\n", "{}", variable.err);
    good(&["auth", "switch", "--context", "other"]);
    assert_eq!(good(&names).out, "shop\n");
    let list = good(&["auth", "list", "--format", "Name,Current", "--no-header"]);
    assert_eq!(list.out.split_whitespace().collect::<Vec<_>>(), ["default", "other", "current"]);
    let list = good(&["auth", "list", "--output", "json"]);
    assert!(!list.out.contains(one.token()) && !list.out.contains(other.token()), "{}", list.out);

    // The token of another server is refused, and the error says where it comes from.
    let file = std::fs::read_to_string(computer.config()).unwrap().replace(other.token(), one.token());
    std::fs::write(computer.config(), file).unwrap();
    let refused = computer.run(&names);
    for words in ["context other in ", "config.yaml", "auth init --context other"] {
        assert!(refused.err.contains(words), "{words}: {}", refused.err);
    }
    let refused = ended(computer.command(&names).env("BOATYARD_TOKEN", "wrong").stdin(Stdio::null()));
    assert!(refused.err.contains("the variable BOATYARD_TOKEN"), "{}", refused.err);

    let unknown = computer.run(&["auth", "switch", "--context", "othr"]);
    assert_eq!(unknown.code, Some(2), "{}", unknown.err);
    assert!(unknown.err.contains("default, other"), "{}", unknown.err);
    let removed = good(&["auth", "remove", "--context", "other"]);
    assert!(removed.err.contains("auth switch --context default"), "{}", removed.err);
    let none = computer.run(&names);
    assert!(none.code == Some(1) && none.err.contains("auth init"), "{}", none.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_on_the_host_of_the_server_needs_no_address() {
    let at = installation().await;
    let computer = Computer::new();
    // Nothing was saved, and commands find the server.
    let here = |args: &[&str]| {
        let mut command = computer.command(args);
        command.env("BOATYARD_DATA_DIR", at.data()).stdin(Stdio::null());
        command
    };
    assert_eq!(ended(&mut here(&["apps", "list"])).code, Some(0));
    let nothing = ended(&mut here(&["auth", "init"]));
    assert!(nothing.code == Some(1) && nothing.err.contains("standard input is empty"), "{}", nothing.err);
    assert!(!computer.config().exists());

    let mut init = here(&["auth", "init"]);
    init.stdin(std::fs::File::open(at.data().join("admin-token")).unwrap());
    let piped = ended(&mut init);
    assert_eq!(piped.code, Some(0), "{}", piped.err);
    assert_eq!(computer.run(&["apps", "list"]).code, Some(0));

    // On a terminal, Enter is enough.
    std::fs::remove_file(computer.config()).unwrap();
    let mut command = computer.command(&["auth", "init"]);
    command.env("BOATYARD_DATA_DIR", at.data());
    let mut terminal = Terminal::of(command);
    terminal.until("Enter for the admin token of this host): ");
    terminal.type_in("\n");
    let (code, text) = terminal.end();
    assert_eq!(code, Some(0), "{text}");
    assert!(std::fs::read_to_string(computer.config()).unwrap().contains(at.token()));
}
