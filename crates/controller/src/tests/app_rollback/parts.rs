//! What a rollback does with prebuilt images and databases.

use std::time::Duration;

use app_spec::AppSpec;
use engine_fake::Verb;
use rollout::deployment::Stage;
use rollout::ids::ComponentName;
use store::records::Change;

use super::super::cluster::{TestCluster, caller};
use super::super::simulation::simulate;
use super::{KEEP, PINS, SPEC, Site, release, set};
use crate::Control;

#[test]
fn a_rollback_leaves_databases_alone_and_needs_those_of_its_spec() {
    simulate(async {
        let site = Site::new().await;
        let two = SPEC.replace("version: '17'}]", "version: '17'}, {name: more, engine: PG, version: '17'}]");
        let more = AppSpec::from_yaml(&two).unwrap().spec;
        let control = site.cluster.controller();
        control.update_app(&site.app, more, KEEP, &caller()).await.unwrap();
        site.cluster.settle(&site.app, Stage::Active).await;
        let starts = || ["-db-db", "-more-db"].map(|part| site.cluster.starts_of(part));
        let before = starts();
        let done = site.roll_back(1).await;
        let wanted = async || -> Vec<_> {
            let databases = site.cluster.state(&site.app).await.databases;
            databases.into_iter().filter(|it| it.wanted).map(|it| it.name.to_string()).collect()
        };
        assert_eq!(wanted().await, ["db", "more"]);
        assert!(
            done.record.notes.iter().any(|it| it.starts_with("database more is not in this spec")),
            "{:?}",
            done.record.notes
        );
        assert_eq!((before, starts()), ([1, 1], [1, 1]));
        site.revert().await;
        assert_eq!(wanted().await, ["db", "more"]);

        let mut without = release("5");
        without.databases.clear();
        control.update_app(&site.app, without, KEEP, &caller()).await.unwrap();
        site.cluster.settle(&site.app, Stage::Active).await;
        let error = site.check(1).await.error.unwrap();
        assert_eq!((error.code.as_str(), error.components), ("database_config_conflict", vec!["db".into()]));
        assert!(site.refused(1).await.contains("db was removed from the app since"));
        assert_eq!(site.pinned().await, None);
    });
}

/// The update that waits before the rollback removes the database that the rollback needs.
#[test]
fn databases_are_checked_again_when_a_rollback_begins() {
    simulate(async {
        let site = Site::new().await;
        let mut without = release("4");
        without.databases.clear();
        let since = site.cluster.engine.calls().len();
        site.cluster.engine.answer_late(Verb::Start, 1, Duration::from_secs(20));
        site.cluster.controller().update_app(&site.app, without, KEEP, &caller()).await.unwrap();
        site.cluster.called(since, Verb::Start, "").await;
        let id = site.ask(1, PINS).await.unwrap();
        let failed = site.cluster.reach(&id, Stage::Failed).await.failure.unwrap();
        assert_eq!(failed.code, "DatabaseConfigConflict");
        assert!(failed.message.contains("db was removed from the app since"), "{}", failed.message);
        assert_eq!((site.pinned().await, site.release().await.as_str(), site.serves().await), (None, "4", set("4")));
    });
}

#[test]
fn a_prebuilt_image_that_is_gone_is_pulled_by_its_digest_and_never_replaced_by_its_tag() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        let first = cluster.newest(&app).await.id;
        cluster.update(&app, "2").await;
        cluster.settle(&app, Stage::Active).await;
        let (recorded, web) = (cluster.deployment(&first).await, ComponentName::from("web"));
        let roll_back = async |cluster: &TestCluster| {
            cluster.controller().roll_back(&app, &first, PINS, &caller()).await.unwrap().id
        };

        // The registry no longer has the image, but another one under the tag.
        let mut lost = recorded.clone();
        let image = lost.images.get_mut(&web).unwrap();
        (image.id, image.digest) = ("sha256:lost".into(), Some("test/web@sha256:lost".into()));
        cluster.crash().await;
        cluster.write(vec![Change::Deployment(Box::new(lost))]).await;
        cluster.open().await;
        let id = roll_back(&cluster).await;
        let failed = cluster.reach(&id, Stage::Failed).await.failure.unwrap().message;
        for part in ["web: the image", "of deployment 1", "test/web@sha256:lost", "nothing was changed"] {
            assert!(failed.contains(part), "{part}: {failed}");
        }
        cluster.settle(&app, Stage::Failed).await;

        cluster.crash().await;
        cluster.write(vec![Change::Deployment(Box::new(recorded.clone()))]).await;
        cluster.open().await;
        cluster.engine.remove_image_by_hand("test/web:1");
        let id = roll_back(&cluster).await;
        let done = cluster.reach(&id, Stage::Active).await;
        let image = &done.images[&web];
        assert_eq!(
            (&image.id, image.note.as_str()),
            (&recorded.images[&web].id, "pulled again: the image of deployment 1")
        );
        cluster.settle(&app, Stage::Active).await;
    });
}

/// As recorded by an older version, which noted neither digests nor origins.
#[test]
fn a_prebuilt_image_without_a_digest_is_a_warning_and_its_tag_is_resolved_again() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        let first = cluster.newest(&app).await;
        cluster.update(&app, "2").await;
        cluster.settle(&app, Stage::Active).await;
        cluster.crash().await;
        let mut old = first.clone();
        old.stage = Stage::Superseded;
        old.images.values_mut().for_each(|image| (image.digest, image.origin) = (None, None));
        cluster.write(vec![Change::Deployment(Box::new(old))]).await;
        cluster.open().await;
        let check = cluster.controller().validate_rollback(&app, &first.id).await.unwrap();
        assert_eq!((check.error, check.warnings.len()), (None, 1));
        assert_eq!(check.warnings[0].components, ["mill", "web"].map(ComponentName::from));
        cluster.engine.remove_image_by_hand("test/web:1");
        let id = cluster.controller().roll_back(&app, &first.id, PINS, &caller()).await.unwrap().id;
        let done = cluster.reach(&id, Stage::Active).await;
        let notes = done.record.notes.join("\n");
        assert!(notes.contains("of deployment 1 is no longer on the engine; its tag test/web:1"), "{notes}");
    });
}
