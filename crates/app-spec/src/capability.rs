//! What this version does with each field of a spec, in one table.
//!
//! Each field that works has a separate row. A row for a field that does not run yet or has no effect here also covers
//! every field below it. `path=WORD` sets the support for one word of a field. `{a,b}` expands to several paths, as in
//! a shell. A test compares the table with the fields that the reader knows, in both directions.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::build_kind;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::spec::AppSpec;
use crate::tree::{Kind, Node};
use crate::value::{Field, Object, Shape};

/// What Boatyard does with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// The field has its documented effect.
    Works,
    /// Boatyard stores the field and returns it unchanged, but it has no effect on one host. Holds the reason.
    NoEffectHere(&'static str),
    /// Boatyard knows the field but refuses an app that uses it. Holds the reason.
    NotYet(&'static str),
}

/// One field and its support.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// For example `services[].envs[].key`, or `jobs[].kind=SCHEDULED`.
    pub path: String,
    /// What Boatyard does with the field.
    pub support: Support,
}

use Support::{NoEffectHere, NotYet, Works};

const ONE_HOST: Support = NoEffectHere("there is one host");
const NO_EDGE: Support = NoEffectHere("there is no edge network");
const NOT_SENT: Support = NoEffectHere("alerts and their destinations are stored, but nothing is sent");
const LOGS_STAY: Support = NotYet("logs are not forwarded; remove it to deploy without");

const TABLE: &[(&str, Support)] = &[
    ("name", Works),
    ("region", ONE_HOST),
    ("features", NoEffectHere("there is one build stack")),
    ("envs{,[].key,[].value,[].scope,[].type}", Works),
    // Components.
    ("{services,workers,jobs}", Works),
    ("{services,workers,jobs}[].{name,source_dir,dockerfile_path,run_command,instance_size_slug}", Works),
    ("{services,workers,jobs}[].git{,.repo_clone_url,.branch,.deploy_on_push}", Works),
    ("{services,workers,jobs}[].{github,gitlab,bitbucket}{,.repo,.branch,.deploy_on_push}", Works),
    ("{services,workers,jobs}[].image.deploy_on_push{,.enabled}", Works),
    (
        "{services,workers,jobs}[].image{,.registry_type,.registry,.repository,.tag,.digest,.registry_credentials}",
        Works,
    ),
    ("{services,workers,jobs}[].{build_command,environment_slug}", Works),
    ("{services,workers,jobs}[].envs{,[].key,[].value,[].scope,[].type}", Works),
    ("{services,workers}[].instance_count", Works),
    ("jobs[].instance_count", NoEffectHere("a job runs once")),
    ("{services,workers,jobs}[].alerts", NOT_SENT),
    ("{services,workers,jobs}[].log_destinations", LOGS_STAY),
    ("{services,workers}[].autoscaling", NotYet("the number of instances is fixed; give `instance_count`")),
    (
        "{services,workers}[].liveness_health_check",
        NotYet("only readiness is checked, by `health_check`; remove it to deploy without"),
    ),
    ("{services,workers,jobs}[].termination{,.grace_period_seconds}", Works),
    // Services.
    ("services[].termination.drain_seconds", Works),
    ("services[].{http_port,protocol,internal_ports}", Works),
    ("services[].health_check{,.http_path,.path,.port,.initial_delay_seconds,.period_seconds}", Works),
    ("services[].health_check.{timeout_seconds,success_threshold,failure_threshold}", Works),
    ("services[].routes{,[].path,[].preserve_path_prefix}", Works),
    (
        "{services,static_sites}[].cors{,.allow_origins,.allow_methods,.allow_headers,.expose_headers,.max_age,.allow_credentials}",
        Works,
    ),
    ("{services,static_sites}[].cors.allow_origins[].{exact,prefix,regex}", Works),
    ("services[].inactivity_sleep", NotYet("services run all the time; remove it to deploy without")),
    // Jobs.
    ("jobs[].kind", Works),
    ("jobs[].{kind=FAILED_DEPLOY,kind=SCHEDULED,schedule}", NotYet("only PRE_DEPLOY and POST_DEPLOY jobs run")),
    ("jobs[].timeout", NotYet("every job has a limit of 30 minutes; remove it to deploy with that limit")),
    // Other kinds of components.
    ("static_sites", Works),
    ("static_sites[].{name,source_dir,dockerfile_path,build_command,environment_slug}", Works),
    ("static_sites[].git{,.repo_clone_url,.branch,.deploy_on_push}", Works),
    ("static_sites[].{github,gitlab,bitbucket}{,.repo,.branch,.deploy_on_push}", Works),
    ("static_sites[].envs{,[].key,[].value,[].scope,[].type}", Works),
    ("static_sites[].{output_dir,index_document,error_document,catchall_document}", Works),
    ("static_sites[].routes{,[].path,[].preserve_path_prefix}", Works),
    ("static_sites[].image", NotYet("a static site is built from a repository, not an image")),
    ("static_sites[].run_command", NoEffectHere("a static site does not run")),
    ("static_sites[].log_destinations", NoEffectHere("a static site writes no log")),
    ("functions", NotYet("functions cannot run")),
    // Databases.
    ("databases{,[].name,[].engine,[].version}", Works),
    ("databases[].engine={MYSQL,REDIS,VALKEY,MONGODB,KAFKA,OPENSEARCH}", NotYet("PG is the only engine")),
    ("databases[].production", NoEffectHere("the database is a container made for the app, and empty at first")),
    (
        "databases[].{cluster_name,db_name,db_user,size,num_nodes}",
        NoEffectHere("the database is a container made for the app"),
    ),
    // Routing.
    ("domains{,[].domain,[].type,[].wildcard,[].minimum_tls_version}", Works),
    ("domains[].zone", NoEffectHere("DNS records are not changed; point the domain at this host")),
    ("domains[].certificate", NoEffectHere("certificates come from files, ACME or the local authority")),
    ("ingress{,.rules}", Works),
    ("ingress.rules[].match{,.path,.path.prefix,.path.exact,.authority,.authority.prefix,.authority.exact}", Works),
    ("ingress.rules[].component{,.name,.preserve_path_prefix,.rewrite}", Works),
    ("ingress.rules[].redirect{,.uri,.authority,.port,.scheme,.redirect_code}", Works),
    (
        "ingress.rules[].cors{,.allow_origins,.allow_methods,.allow_headers,.expose_headers,.max_age,.allow_credentials}",
        Works,
    ),
    ("ingress.rules[].cors.allow_origins[].{exact,prefix,regex}", Works),
    ("ingress.custom_error_page_url", Works),
    ("ingress.secure_header{,.key,.value,.remove_header}", Works),
    ("ingress.{load_balancer,load_balancer_size}", NO_EDGE),
    // The platform around the app.
    ("{egress,vpc}", ONE_HOST),
    ("alerts", NOT_SENT),
    ("maintenance{,.enabled,.offline_page_url}", Works),
    ("maintenance.archive", NotYet("an app cannot be archived")),
    ("{disable_edge_cache,disable_email_obfuscation,enhanced_threat_control_enabled}", NO_EDGE),
];

/// Every field that the reader knows and every word with a separate row, sorted by path.
pub fn capabilities() -> &'static [Capability] {
    static ALL: LazyLock<Vec<Capability>> = LazyLock::new(|| {
        let words = rows().keys().filter(|path| path.contains('=')).cloned();
        let mut all: Vec<String> = known_paths().into_iter().chain(words).collect();
        all.sort();
        all.into_iter().map(|path| Capability { support: support(&path).unwrap_or(UNDECIDED), path }).collect()
    });
    &ALL
}

/// Support for a field without a row. Refusing is the safe choice. A test checks that every field has a row.
const UNDECIDED: Support = NotYet("its effect here is undecided");

fn rows() -> &'static BTreeMap<String, Support> {
    static ROWS: LazyLock<BTreeMap<String, Support>> = LazyLock::new(|| {
        TABLE.iter().flat_map(|(path, support)| expand(path).into_iter().map(|path| (path, *support))).collect()
    });
    &ROWS
}

/// `{a,b}[].c{,.d}` → `a[].c`, `a[].c.d`, `b[].c`, `b[].c.d`.
fn expand(path: &str) -> Vec<String> {
    let Some((head, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let (choices, tail) = rest.split_once('}').expect("the table closes every brace");
    choices.split(',').flat_map(|choice| expand(&format!("{head}{choice}{tail}"))).collect()
}

/// The row of the path, or of the nearest field around it whose row is not `Works`.
fn support(path: &str) -> Option<Support> {
    if let Some(support) = rows().get(path) {
        return Some(*support);
    }
    let parent = &path[..path.rfind('.')?];
    support(parent.strip_suffix("[]").unwrap_or(parent)).filter(|support| *support != Works)
}

fn known_paths() -> Vec<String> {
    let mut paths = Vec::new();
    collect(AppSpec::fields(), "", &mut paths);
    paths
}

fn collect(fields: &[Field], parent: &str, paths: &mut Vec<String>) {
    for field in fields {
        let path = if parent.is_empty() { field.name.to_owned() } else { format!("{parent}.{}", field.name) };
        let inside = if matches!(field.shape, Shape::List(_)) { format!("{path}[]") } else { path.clone() };
        paths.push(path);
        collect(field.shape.fields(), &inside, paths);
    }
}

impl AppSpec {
    /// Errors for what this version cannot run, one per field. Boatyard refuses an app that has any.
    /// [`Parsed::not_yet`](crate::Parsed::not_yet) adds the places.
    pub fn not_yet(&self) -> Diagnostics {
        let mut found = Diagnostics::default();
        self.each_used(&mut |path, support| {
            if let NotYet(reason) = support {
                found.push(not_yet(path, reason));
            }
        });
        for (path, component) in self.components_with_paths() {
            found.extend(build_kind::not_yet(&path, component));
        }
        found
    }

    /// Warnings for fields that Boatyard stores but that have no effect, one per field.
    pub fn no_effect(&self) -> Diagnostics {
        let not_yet = self.not_yet();
        let mut found = Diagnostics::default();
        found
            .extend(self.components_with_paths().flat_map(|(path, component)| build_kind::no_effect(&path, component)));
        let of_sources = found.clone();
        self.each_used(&mut |path, support| {
            if let NoEffectHere(reason) = support
                && not_yet.iter().chain(&of_sources).all(|it| it.path != path)
            {
                found.push(no_effect(path, reason));
            }
        });
        found
    }

    fn each_used(&self, take: &mut dyn FnMut(&str, Support)) {
        walk(&self.to_node(&|_, _| "(secret)".to_owned()), "", "", take);
    }
}

pub(crate) fn not_yet(path: &str, reason: &str) -> Diagnostic {
    Diagnostic::error(Code::NotYet, path, format!("not yet: {reason}"))
}

pub(crate) fn no_effect(path: &str, reason: &str) -> Diagnostic {
    Diagnostic::warning(Code::NoEffect, path, format!("accepted, no effect here: {reason}"))
}

/// Walks through the fields of a spec. Passes on each path as in the spec, and uses the path as in the table to look up
/// the support.
fn walk(node: &Node, path: &str, pattern: &str, take: &mut dyn FnMut(&str, Support)) {
    match &node.kind {
        Kind::Mapping(fields) => {
            for field in fields.iter() {
                let join = |parent: &str| {
                    if parent.is_empty() { field.key.to_string() } else { format!("{parent}.{}", field.key) }
                };
                let (path, pattern) = (join(path), join(pattern));
                match support(&pattern).unwrap_or(UNDECIDED) {
                    Works => walk(&field.value, &path, &pattern, take),
                    // An empty match string is stored and matches every host, so it needs no support.
                    _ if field.value.is_empty_text() => {}
                    other => take(&path, other),
                }
            }
        }
        Kind::Sequence(items) => {
            for (i, item) in items.iter().enumerate() {
                walk(item, &format!("{path}[{i}]"), &format!("{pattern}[]"), take);
            }
        }
        Kind::Scalar(word) => {
            if let Some(support) = rows().get(&format!("{pattern}={}", word.text)) {
                take(path, *support);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_known_field_is_in_the_table() {
        let undecided: Vec<String> = known_paths().into_iter().filter(|path| support(path).is_none()).collect();
        assert!(undecided.is_empty(), "no row for {undecided:#?}");
    }

    #[test]
    fn every_row_is_a_known_field_and_appears_once() {
        let known = known_paths();
        let mut seen = std::collections::BTreeSet::new();
        for path in TABLE.iter().flat_map(|(path, _)| expand(path)) {
            let field = path.split('=').next().unwrap().to_owned();
            assert!(known.contains(&field), "{path} is no field");
            assert!(seen.insert(path.clone()), "{path} has two rows");
        }
    }

    #[test]
    fn every_word_of_the_table_can_be_written() {
        for path in rows().keys().filter(|path| path.contains('=')) {
            let (field, word) = path.split_once('=').unwrap();
            let words = match field {
                "jobs[].kind" => crate::JobKind::WORDS,
                "databases[].engine" => crate::Engine::WORDS,
                "services[].protocol" => crate::Protocol::WORDS,
                _ => panic!("{field} has no words"),
            };
            assert!(words.contains(&word), "{path}");
        }
    }

    #[test]
    fn no_row_is_below_a_field_that_does_not_work() {
        for path in rows().keys() {
            let Some((parent, _)) = path.rsplit_once('.') else { continue };
            let parent = parent.strip_suffix("[]").unwrap_or(parent);
            assert_eq!(support(parent), Some(Works), "{path} is never reached");
        }
    }

    #[test]
    fn fields_that_cannot_run_yet_are_reported_with_their_places() {
        let text = "name: shop\nservices:\n- name: web\n  image: {registry_type: DOCR, repository: web}\n  \
                    inactivity_sleep: {}\n  alerts:\n  - rule: CPU_UTILIZATION\njobs:\n- name: tidy\n  kind: SCHEDULED\n  \
                    schedule: {cron: '0 1 * * *'}\n  git: {repo_clone_url: 'https://example.com/r.git'}\n\
                    databases:\n- name: db\n  engine: mysql\nmaintenance: {}\nregion: fra\n";
        let parsed = AppSpec::from_yaml(text).unwrap();
        let list = |found: Diagnostics| -> Vec<(String, u32)> {
            found.into_iter().map(|d| (d.path.clone(), d.line().unwrap())).collect()
        };
        let wanted = [
            ("services[0].image.registry_type", 4),
            ("services[0].inactivity_sleep", 5),
            ("jobs[0].kind", 10),
            ("jobs[0].schedule", 11),
            ("databases[0].engine", 15),
        ];
        assert_eq!(list(parsed.not_yet()), wanted.map(|(p, l)| (p.to_owned(), l)));
        let wanted = [("services[0].alerts", 6), ("region", 17)];
        assert_eq!(list(parsed.no_effect()), wanted.map(|(p, l)| (p.to_owned(), l)));
        assert_eq!(parsed.not_yet()[1].message, "not yet: services run all the time; remove it to deploy without");
    }
}
