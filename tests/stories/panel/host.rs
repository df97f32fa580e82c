//! The page of the host, compared with the engine and the disk.

use boatyard_tests::browser::css;
use bollard::Docker;
use serde_json::{Value, json};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_host_page_agrees_with_the_engine_and_the_disk() {
    let Some(panel) = panel().await else { return };
    let browser = &panel.browser;
    let (web, api) = (versioned(&panel.at, "web"), versioned(&panel.at, "api"));
    // Equal sources would share their images, and the number of tags would depend on which build ends first.
    write_version(&api, "1-of-api", "");
    api.commit("another source").unwrap();
    panel.at.create(&built_shop(&web, &api)).await.unwrap();
    write_version(&web, "2", "");
    web.commit("the second version").unwrap();
    let deployment = panel.at.deploy("shop", json!({})).await.unwrap();
    panel.at.wait_active("shop", &deployment).await.unwrap();

    panel.go("/host").await.unwrap();
    browser.until_shows(css("#images"), "3 images").await.unwrap();
    check(&panel).await;
    let docker = engine::connect().unwrap();
    let (version, info) = (docker.version().await.unwrap(), docker.info().await.unwrap());
    let facts = "return Object.fromEntries([...document.querySelectorAll('#versions dl > div')]
        .map(it => [it.querySelector('dt').textContent, it.querySelector('dd').textContent]))";
    let reached = match panel.at.reaches_directly() {
        true => "Reached at their addresses in the engine's networks",
        false => "Reached at ports that they publish on 127.0.0.1",
    };
    let mut expected = json!({
        "Boatyard": env!("CARGO_PKG_VERSION"),
        "Installation": panel.at.id().unwrap(),
        "Engine": format!("Docker {}", version.version.unwrap()),
        "Engine API": version.api_version.unwrap(),
        "CPUs": info.ncpu.unwrap().to_string(),
        "Memory": size(info.mem_total.unwrap()),
        "Instances": reached,
    });
    let limits = [("CPU", info.cpu_cfs_quota), ("memory", info.memory_limit), ("processes", info.pids_limit)];
    let missing: Vec<_> = limits.into_iter().filter(|(_, has)| *has == Some(false)).map(|(name, _)| name).collect();
    if !missing.is_empty() {
        expected["Limits"] = format!("The engine cannot limit {}", missing.join(", ")).into();
    }
    assert_eq!(browser.run(facts, &[]).await.unwrap(), expected);

    let disk = rustix::fs::statvfs(panel.at.data()).unwrap();
    let total = size(i64::try_from(disk.f_blocks * disk.f_frsize).unwrap());
    let shown = browser.text(css("#disk")).await.unwrap();
    assert!(shown.contains(&format!("of {total}")), "the disk has {total}, and the page shows {shown}");

    let tags = engine::app_tags_of(&panel.at.id().unwrap()).await.unwrap();
    let mut expected = Vec::new();
    for tag in &tags {
        expected.push(json!([tag, size_of(&docker, tag).await]));
    }
    let images = "return [...document.querySelectorAll('#images tbody tr')]
        .map(row => [row.querySelector('th').textContent, row.querySelector('td.number').textContent]).sort()";
    assert_eq!(browser.run(images, &[]).await.unwrap(), Value::from(expected));
    // Two components serve, and the first image of one is left.
    let uses = browser.text(css("#images")).await.unwrap();
    assert_eq!((uses.matches("Serves").count(), uses.matches("For a rollback").count()), (2, 1), "{uses}");
}

async fn size_of(docker: &Docker, tag: &str) -> String {
    size(docker.inspect_image(tag).await.unwrap().size.unwrap())
}

/// A size as a person writes it, with the unit that fits and two places.
fn size(bytes: i64) -> String {
    let (unit, name) = [(1_i64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
        .into_iter()
        .find(|(unit, _)| bytes >= *unit)
        .unwrap_or((1, "B"));
    format!("{}.{:02} {name}", bytes / unit, bytes % unit * 100 / unit)
}
