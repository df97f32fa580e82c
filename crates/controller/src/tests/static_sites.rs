//! Static sites: their files are stored before the routes switch, and removed when nothing needs them.

use std::collections::BTreeSet;
use std::path::Path;

use app_spec::AppSpec;
use engine_fake::Verb;
use ingress::protocol::{MissingFile, Rule, SiteFiles, Target};
use rollout::deployment::Stage;
use rollout::ids::{AppId, DeploymentId};
use rollout::site_files::EARLIER_FOR;
use rollout::time::Timestamp;
use site_files::StoredSite;
use store::records::Change;

use super::cluster::{TestCluster, caller, commit};
use super::simulation::simulate;
use crate::Control;
use crate::view::DeployOptions;

const SPEC: &str = "
name: site
static_sites:
- name: pages
  git: {repo_clone_url: 'https://example.com/site.git', branch: main}
  dockerfile_path: Dockerfile
  catchall_document: app.html
";

/// A tar stream of a directory with one file, which is named after a version.
fn files(version: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_size(0);
    header.set_mode(0o755);
    builder.append_data(&mut header, "dist/", &[][..]).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_size(version.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, format!("dist/{version}"), version.as_bytes()).unwrap();
    builder.into_inner().unwrap()
}

impl TestCluster {
    /// The next build of the site contains this version.
    fn next_version(&self, version: char) {
        self.engine.add_directory("/dist", files(&version.to_string()));
        self.image_builder.push(&commit(version));
    }

    async fn create_site(&self, version: char) -> AppId {
        self.next_version(version);
        let spec = AppSpec::from_yaml(SPEC).unwrap().spec;
        let app = self.controller().create_app(spec, &caller()).await.unwrap().id;
        self.reach(&self.newest(&app).await.id, Stage::Active).await;
        app
    }

    async fn deploy_site(&self, app: &AppId, version: char) -> DeploymentId {
        self.next_version(version);
        self.controller().deploy(app, DeployOptions::default(), &caller()).await.unwrap().id
    }

    /// What the ingress serves for the site.
    fn served(&self) -> Option<SiteFiles> {
        let taken = self.ingress.taken();
        let rules: Vec<Rule> = taken.last()?.table.apps.iter().flat_map(|it| it.rules.clone()).collect();
        rules.into_iter().find_map(|rule| match rule.target {
            Target::Files { files } => Some(files),
            Target::Instances { .. } | Target::Redirect { .. } | Target::Unknown(_) => None,
        })
    }

    /// The versions that the ingress serves, newest first.
    fn versions(&self) -> Vec<String> {
        let directories = self.served().map(|it| it.directories).unwrap_or_default();
        let version = |path: &String| {
            let site = StoredSite::open(Path::new(path)).unwrap();
            site.index.files.keys().next().unwrap().clone()
        };
        directories.iter().map(version).collect()
    }

    /// The directories on the disk.
    fn stored(&self, app: &AppId) -> BTreeSet<String> {
        let directory = self.controller().0.shared.sites.join(app.as_str());
        let Ok(entries) = std::fs::read_dir(directory) else { return BTreeSet::new() };
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect()
    }
}

#[test]
fn a_site_is_served_from_its_files_and_no_container_runs() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let app = cluster.create_site('1').await;
        let served = cluster.served().unwrap();
        assert_eq!((served.index.as_str(), &served.missing), ("index.html", &MissingFile::CatchAll("app.html".into())));
        assert_eq!(cluster.versions(), ["1"]);
        cluster.until(async || cluster.engine.containers().is_empty().then_some(()).ok_or("a container".into())).await;
        assert_eq!(cluster.starts_of("files"), 0);
        let files = cluster.newest(&app).await.images[&"pages".into()].files.clone().unwrap();
        assert_eq!((files.files, files.bytes), (1, 1));
        let stored = cluster.controller().0.shared.sites.join(app.as_str());
        cluster.controller().delete_app(&app).await.unwrap();
        cluster.gone(&app).await;
        assert!(!stored.exists());
    });
}

#[test]
fn earlier_versions_serve_for_a_day_and_then_their_files_are_removed() {
    simulate(async {
        let mut cluster = TestCluster::new().await;
        let app = cluster.create_site('1').await;
        for version in ['2', '3', '4', '5'] {
            let id = cluster.deploy_site(&app, version).await;
            cluster.reach(&id, Stage::Active).await;
        }
        assert_eq!(cluster.versions(), ["5", "4", "3", "2"]);
        cluster.until(async || (cluster.stored(&app).len() == 4).then_some(()).ok_or("too many".into())).await;
        // A day later.
        cluster.crash().await;
        cluster
            .tamper(&app, |mut state| {
                let earlier = state.app.earlier_files.values_mut().flatten();
                earlier.for_each(|it| it.until = Timestamp(it.until.0 - EARLIER_FOR.as_millis() as u64));
                vec![Change::App(state.app)]
            })
            .await;
        cluster.open().await;
        cluster.until(async || (cluster.versions() == ["5"]).then_some(()).ok_or("still served".into())).await;
        cluster.until(async || (cluster.stored(&app).len() == 1).then_some(()).ok_or("still stored".into())).await;
        assert_eq!(cluster.versions(), ["5"]);
    });
}

#[test]
fn a_restart_and_a_restarted_controller_leave_the_files_alone() {
    simulate(async {
        let mut cluster = TestCluster::new().await;
        let app = cluster.create_site('1').await;
        let before = cluster.served();
        let restart = cluster.restart(&app).await;
        cluster.reach(&restart.id, Stage::Active).await;
        assert_eq!(cluster.served(), before);
        cluster.crash().await;
        cluster.open().await;
        let id = cluster.deploy_site(&app, '2').await;
        cluster.reach(&id, Stage::Active).await;
        assert_eq!(cluster.versions(), ["2", "1"]);
    });
}

#[test]
fn an_image_without_the_files_fails_the_deployment_and_the_site_stays() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let app = cluster.create_site('1').await;
        cluster.image_builder.push(&commit('2'));
        cluster.engine.add_directory("/dist", Vec::new());
        let id = cluster.controller().deploy(&app, DeployOptions::default(), &caller()).await.unwrap().id;
        let failed = cluster.reach(&id, Stage::Failed).await;
        let failure = failed.failure.unwrap();
        assert_eq!(failure.message, "pages: /dist is not a directory");
        assert_eq!(cluster.versions(), ["1"]);
        cluster.until(async || cluster.engine.containers().is_empty().then_some(()).ok_or("a container".into())).await;
        cluster.until(async || (cluster.stored(&app).len() == 1).then_some(()).ok_or("a draft".into())).await;
    });
}

/// The controller dies at each call to the engine that reads the files.
#[test]
fn an_interrupted_extraction_is_repeated_and_leaves_no_container() {
    for verb in [Verb::Create, Verb::Directory, Verb::Remove] {
        simulate(async {
            let mut cluster = TestCluster::new().await;
            let app = cluster.create_site('1').await;
            let since = cluster.engine.calls().len();
            cluster.engine.hang(verb, 1);
            let id = cluster.deploy_site(&app, '2').await;
            cluster.called(since, verb, "files").await;
            cluster.crash().await;
            cluster.open().await;
            cluster.reach(&id, Stage::Active).await;
            assert_eq!(cluster.versions(), ["2", "1"], "{verb:?}");
            let look = async || cluster.engine.containers().is_empty().then_some(()).ok_or("a container".into());
            cluster.until(look).await;
            cluster.until(async || (cluster.stored(&app).len() == 2).then_some(()).ok_or("a draft".into())).await;
        });
    }
}

#[test]
fn lost_files_are_stored_again_by_the_next_deployment() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let app = cluster.create_site('1').await;
        std::fs::remove_dir_all(&cluster.controller().0.shared.sites).unwrap();
        let id = cluster.controller().deploy(&app, DeployOptions::default(), &caller()).await.unwrap().id;
        cluster.reach(&id, Stage::Active).await;
        assert_eq!(cluster.versions(), ["1"]);
    });
}
