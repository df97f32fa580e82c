//! Files of containers that never run.

use engine::*;
use futures::TryStreamExt;

use crate::support::{World, collect, context};

impl World {
    /// A container that is created from a scratch image with these files, and never started.
    async fn files(&self, files: &[(&str, &[u8])], dockerfile: &str) -> ContainerSpec {
        let files: Vec<_> = files.iter().copied().chain([("Dockerfile", dockerfile.as_bytes())]).collect();
        let build = self.engine.build(&self.build_spec("files", false), context(&files)).await.unwrap();
        let (image, _) = collect(build).await.unwrap();
        let spec = ContainerSpec { command: Some(vec!["/none".into()]), ..self.spec("files", &image, &[]) };
        let spec = ContainerSpec { identity: self.identity(Role::Pin, "files"), ..spec };
        self.engine.create(&spec).await.unwrap();
        spec
    }

    /// The paths of the files in a directory and their texts; `None` if there is no such directory.
    async fn read(&self, name: &str, path: &str) -> Option<Vec<(String, String)>> {
        let stream = self.engine.directory(name, path).await.unwrap()?;
        let bytes = stream.map_ok(|piece| piece.to_vec()).try_concat().await.unwrap();
        let mut archive = tar::Archive::new(&*bytes);
        let mut found = Vec::new();
        for (index, entry) in archive.entries().unwrap().enumerate() {
            let mut entry = entry.unwrap();
            assert!(index > 0 || entry.header().entry_type().is_dir(), "the first entry is the directory");
            let path = entry.path().unwrap().display().to_string();
            if entry.header().entry_type().is_file() {
                let mut text = String::new();
                std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
                found.push((path, text));
            }
        }
        Some(found)
    }
}

#[tokio::test]
async fn a_directory_of_a_container_that_never_ran_is_read_as_a_stream() {
    let world = World::new().await;
    let large = vec![b'x'; 3 << 20];
    let dockerfile = "FROM scratch\nWORKDIR /workspace\nCOPY site /workspace/dist/\n";
    let files: &[(&str, &[u8])] = &[("site/index.html", b"home"), ("site/a/large.txt", &large)];
    let spec = world.files(files, dockerfile).await;
    let defaults = world.engine.image_defaults(&spec.image).await.unwrap();
    assert_eq!(defaults.working_dir, "/workspace");
    for path in ["/workspace/dist", "/workspace/dist/"] {
        let mut found = world.read(&spec.name, path).await.unwrap();
        found.sort();
        let ends: Vec<_> = found.iter().map(|(path, text)| (path.rsplit('/').next().unwrap(), text.len())).collect();
        assert_eq!(ends, [("large.txt", 3 << 20), ("index.html", 4)], "{path}");
    }
    for path in ["/workspace/build", "/none/dist", "/workspace/dist/index.html"] {
        assert!(world.read(&spec.name, path).await.is_none(), "{path}");
    }
    let gone = world.engine.directory(&world.name("other"), "/").await;
    assert!(matches!(gone, Err(EngineError::NotFound { .. })));
    world.engine.remove(&spec.name).await.unwrap();
}
