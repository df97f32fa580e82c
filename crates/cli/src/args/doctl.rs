//! Every command of `doctl apps` with its flags is accepted, so that a script needs only another program name.

use clap::{CommandFactory, Parser};

use super::{Apps, Arguments, Auth, Command, Setting, Spec};

/// The commands as doctl documents them, each with all of its flags.
const COMMANDS: &[&str] = &[
    "list --with-projects --format ID --no-header",
    "get APP --format ID --no-header",
    "create --spec F --wait --upsert --update-sources --project-id P --format ID --no-header",
    "update APP --spec F --update-sources --wait --format ID --no-header",
    "delete APP --force",
    "delete APP -f",
    "restart APP --components a,b --components c --wait --format ID,Status --no-header",
    "create-deployment APP --force-rebuild --wait --format ID,Status --no-header",
    "list-deployments APP --format ID --no-header",
    "get-deployment APP DEP --format ID --no-header",
    "list-job-invocations APP --job-name cron --deployment DEP --format ID --no-header",
    "get-job-invocation APP INV --format ID --no-header",
    "cancel-job-invocation APP INV --format ID --no-header",
    "list-events APP --event-type AUTOSCALING,DEPLOYMENT --event-type deployment --format ID --no-header",
    "get-event APP EVT --format ID --no-header",
    "cancel-event APP EVT --format ID --no-header",
    "logs APP web --type build --deployment DEP --follow --tail 5 --no-prefix",
    "logs APP -f --tail -1",
    "logs APP cron --job-invocation INV --tail 7 -f",
    "logs APP --event-id EVT -f",
    "list-instances APP",
    "list-regions --format Slug --no-header",
    "list-buildpacks --format ID --no-header",
    "upgrade-buildpack APP --buildpack ID --major-version 3 --trigger-deployment=false --format ID --no-header",
    "upgrade-buildpack APP --buildpack ID --trigger-deployment",
    "list-alerts APP --format ID --no-header",
    "update-alert-destinations APP ALERT --app-alert-destinations F --format ID --no-header",
    "propose --spec F --app APP --format AppCost --no-header",
    "spec get APP --deployment DEP --format json",
    "spec validate F --schema-only",
    "spec validate -",
    "tier list --format Slug --no-header",
    "tier get basic --format Slug --no-header",
    "tier instance-size list --format Slug --no-header",
    "tier instance-size get apps-s-1vcpu-1gb --format Slug --no-header",
];

/// The short names of doctl.
const ALIASES: &[(&str, &str)] = &[
    ("list", "ls"),
    ("get", "g"),
    ("create", "c"),
    ("update", "u"),
    ("delete", "d"),
    ("delete", "rm"),
    ("restart", "r"),
    ("create-deployment", "cd"),
    ("list-deployments", "lsd"),
    ("get-deployment", "gd"),
    ("list-job-invocations", "lsji"),
    ("get-job-invocation", "gji"),
    ("cancel-job-invocation", "cji"),
    ("list-events", "lse"),
    ("get-event", "ge"),
    ("cancel-event", "ce"),
    ("logs", "l"),
    ("list-instances", "i"),
    ("list-alerts", "la"),
    ("update-alert-destinations", "uad"),
    ("propose", "p"),
];

fn parsed(line: &str) -> Result<Arguments, String> {
    let words = ["boatyard"].into_iter().chain(line.split(' '));
    let matches = Arguments::command().try_get_matches_from(words).map_err(|error| format!("{line}: {error}"))?;
    Arguments::from(&matches).map_err(|error| format!("{line}: {error}"))
}

#[test]
fn every_command_and_flag_of_doctl_is_accepted() {
    for line in COMMANDS {
        for apps in ["apps", "app", "a"] {
            assert!(parsed(&format!("{apps} {line}")).is_ok_and(|it| matches!(it.command, Command::Apps(_))), "{line}");
        }
    }
}

#[test]
fn every_alias_of_doctl_means_the_same_command() {
    let apps = Arguments::command();
    let apps = apps.find_subcommand("apps").expect("a command");
    for (name, alias) in ALIASES {
        let found = apps.find_subcommand(alias).map(clap::Command::get_name);
        assert_eq!(found, Some(*name), "{alias}");
    }
}

#[test]
fn specs_have_commands_at_both_places() {
    for prefix in ["spec", "apps spec"] {
        let command = parsed(&format!("{prefix} get shop --deployment 41")).expect("accepted").command;
        let (Command::Spec(spec) | Command::Apps(Apps::Spec(spec))) = command else { panic!("{prefix}") };
        assert!(matches!(spec, Spec::Get { deployment: Some(deployment), .. } if deployment == "41"));
    }
}

#[test]
fn a_log_has_one_source() {
    for line in [
        "apps logs shop --job-invocation INV",
        "apps logs shop cron --job-invocation INV --deployment 41",
        "apps logs shop cron --job-invocation INV --type build",
        "apps logs shop --event-id EVT --deployment 41",
        "apps logs shop cron --event-id EVT --job-invocation INV",
    ] {
        assert!(parsed(line).is_err(), "{line}");
    }
}

#[test]
fn a_buildpack_upgrade_starts_a_deployment_unless_told_otherwise() {
    let triggers = |flag: &str| match parsed(&format!("apps upgrade-buildpack APP --buildpack B{flag}")) {
        Ok(Arguments { command: Command::Apps(Apps::UpgradeBuildpack { trigger_deployment, .. }), .. }) => {
            Some(trigger_deployment)
        }
        _ => None,
    };
    let flags = ["", " --trigger-deployment", " --trigger-deployment=true", " --trigger-deployment=false"];
    assert_eq!(flags.map(triggers), [Some(true), Some(true), Some(true), Some(false)]);
}

#[test]
fn settings_of_doctl_may_stand_before_and_after_the_command() {
    for line in [
        "-u http://h -t tok --context far apps list",
        "apps list --api-url http://h --access-token tok --context far",
        "apps -t tok list -u http://h --context far",
    ] {
        let connection = parsed(line).expect("accepted").connection;
        assert_eq!(connection.api_url.as_deref(), Some("http://h"), "{line}");
        assert_eq!((connection.token.as_deref(), connection.context.as_deref()), (Some("tok"), Some("far")), "{line}");
        for setting in [Setting::ApiUrl, Setting::Token, Setting::Context] {
            assert!(connection.is_flag(setting), "{line}: {setting:?}");
        }
        assert!(!connection.is_flag(Setting::DataDir), "{line}");
        assert!(!format!("{connection:?}").contains("tok"), "{connection:?}");
    }
}

#[test]
fn an_empty_variable_counts_as_not_set_and_an_empty_flag_does_not() {
    let empty = |flags: &[Setting]| {
        let (value, flags) = (Some(String::new()), flags.to_vec());
        let mut it = super::Connection { token: value.clone(), context: value, flags, ..Default::default() };
        it.drop_empty_variables();
        (it.token, it.context)
    };
    assert_eq!(empty(&[]), (None, None));
    assert_eq!(empty(&[Setting::Token]), (Some(String::new()), None));
}

#[test]
fn the_commands_of_a_login_are_accepted() {
    let command = |line: &str| parsed(line).expect("accepted").command;
    assert!(matches!(
        command("auth init --context far --certificate-authority a.pem"),
        Command::Auth(Auth::Init { .. })
    ));
    assert!(matches!(command("auth switch --context far"), Command::Auth(Auth::Switch)));
    assert!(matches!(command("auth list --output json"), Command::Auth(Auth::List { .. })));
    assert!(matches!(command("auth remove --context far"), Command::Auth(Auth::Remove)));
    for shell in ["bash", "zsh", "fish", "powershell"] {
        assert!(Arguments::try_parse_from(["boatyard", "completion", shell]).is_ok(), "{shell}");
    }
}
