//! Checks whether a container can connect to addresses of this host. A firewall may drop such connections.
//!
//! A tiny program does it in a container, which needs no image from a registry. It is written in assembly
//! (`connect_check/*.s`), because it must run without a C library. To translate a changed source:
//! `as x86_64.s -o program.o && objcopy -O binary -j .text program.o program && xxd -p -c 60 program`.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use engine::{
    BuildEvent, BuildSpec, ContainerSpec, Engine, EngineError, Identity, Limits, NetworkJoin, NetworkSpec, Role,
};
use futures::StreamExt;

use crate::names::Names;

/// ELF number of the machine, and the program in machine code.
const X86_64: (u16, &str) = (
    62,
    "4c8d642410498b34244983c40831ff4885f6747e4883ec1066c704240200488d7c2402b906000000ac2c61c0e00488c2ac2c6108d0aae2f0b8290000\
     00bf02000000be0100000031d20f054989c56a006a03b8360000004c89efbe01000000ba150000004989e241b8100000000f054883c410b82a000000\
     4c89ef4889e6ba100000000f0585c00f8478ffffffbf01000000b83c0000000f05",
);
const AARCH64: (u16, &str) = (
    183,
    "f3430091618640f8c10400b4ff4300d142008052e2030079e30b0091c40080522514403826144038a5840151c6840151c510052a6514003884040071\
     21ffff54c81880d2400080d2210080d2020080d2010000d4f40300aa620080d2e27fbfa9081a80d2e00314aa210080d2a20280d2e3030091040280d2\
     010000d4ff430091681980d2e00314aae1030091020280d2010000d480fbffb4200080d202000014000080d2a80b80d2010000d4",
);

/// The program waits 3 s for each connection. This limit is for the engine.
const ENDS_WITHIN: Duration = Duration::from_secs(60);
const MEMORY: u64 = 16 << 20;

/// Checks connections from containers to this host.
#[async_trait]
pub(crate) trait ConnectCheck: Send + Sync {
    /// Whether a container with this address in this network can connect to all addresses. No other container may have the
    /// address. Errors: those of the engine, in which case nothing is known.
    async fn connects(
        &self,
        name: &str,
        from: (&NetworkSpec, Ipv4Addr),
        to: &[SocketAddrV4],
    ) -> Result<bool, EngineError>;
}

/// Checks with a container.
pub(crate) struct ContainerConnectCheck {
    pub engine: Arc<dyn Engine>,
    pub names: Names,
}

#[async_trait]
impl ConnectCheck for ContainerConnectCheck {
    async fn connects(
        &self,
        name: &str,
        (network, address): (&NetworkSpec, Ipv4Addr),
        to: &[SocketAddrV4],
    ) -> Result<bool, EngineError> {
        let Some(program) = program(std::env::consts::ARCH) else { return Ok(false) };
        let image = self.image(&program).await?;
        let joined = self.engine.ensure_network(network).await?;
        let command = ["/connect".to_owned()].into_iter().chain(to.iter().map(argument)).collect();
        let spec = ContainerSpec {
            name: name.to_owned(),
            identity: Identity { role: Role::Pin, ..network.identity.clone() },
            image,
            command: Some(command),
            env: Vec::new(),
            network: Some(NetworkJoin {
                network_id: joined.id,
                network_name: joined.name,
                address,
                aliases: Vec::new(),
            }),
            hosts: Vec::new(),
            published: Vec::new(),
            volume: None,
            limits: Limits { cpu_millis: 0, memory_bytes: MEMORY },
            stop_grace: Duration::ZERO,
            stop_signal: None,
        };
        // One of a process that was killed may be left.
        self.engine.remove(name).await?;
        let ended = self.run(&spec).await;
        self.engine.remove(name).await?;
        ended.map(|code| code == Some(0))
    }
}

impl ContainerConnectCheck {
    /// The exit code. `None`: the program did not end in time.
    async fn run(&self, spec: &ContainerSpec) -> Result<Option<i64>, EngineError> {
        self.engine.create(spec).await?;
        self.engine.start(&spec.name).await?;
        tokio::time::timeout(ENDS_WITHIN, self.engine.wait(&spec.name)).await.ok().transpose()
    }

    /// The image with the program. Builds it if the engine does not have it.
    async fn image(&self, program: &[u8]) -> Result<String, EngineError> {
        let tag = self.names.connect_check_image();
        if let Some(image) = self.engine.image(&tag).await? {
            return Ok(image);
        }
        let spec = BuildSpec { tag, dockerfile: "Dockerfile".to_owned(), ..BuildSpec::default() };
        let context = futures::stream::iter([Ok(context(program).into())]).boxed();
        let mut events = self.engine.build(&spec, context).await?;
        while let Some(event) = events.next().await {
            if let BuildEvent::Built { image } = event? {
                return Ok(image);
            }
        }
        Err(EngineError::Other {
            verb: "build",
            status: None,
            message: "the build of the connection check ended without an image".to_owned(),
        })
    }
}

/// The program for a machine with this name. `None`: there is none.
fn program(machine: &str) -> Option<Vec<u8>> {
    let (number, code) = match machine {
        "x86_64" => X86_64,
        "aarch64" => AARCH64,
        _ => return None,
    };
    let code = hex::decode(code).expect("the constants are hexadecimal");
    Some(elf(number, &code))
}

/// A static program in the ELF format, for 64 bits and little endian: the header, one segment, and the code.
fn elf(machine: u16, code: &[u8]) -> Vec<u8> {
    const HEADERS: u64 = 64 + 56;
    const AT: u64 = 0x40_0000;
    let size = HEADERS + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut put = |bytes: &[u8]| file.extend_from_slice(bytes);
    put(&2_u16.to_le_bytes()); // e_type: executable
    put(&machine.to_le_bytes());
    put(&1_u32.to_le_bytes()); // e_version
    put(&(AT + HEADERS).to_le_bytes()); // e_entry
    put(&64_u64.to_le_bytes()); // e_phoff
    put(&0_u64.to_le_bytes()); // e_shoff
    put(&0_u32.to_le_bytes()); // e_flags
    for half in [64_u16, 56, 1, 0, 0, 0] {
        put(&half.to_le_bytes()); // sizes and counts of headers
    }
    put(&1_u32.to_le_bytes()); // p_type: load
    put(&5_u32.to_le_bytes()); // p_flags: read and execute
    for word in [0, AT, AT, size, size, 0x1_0000] {
        put(&word.to_le_bytes()); // offset, addresses, sizes, alignment
    }
    put(code);
    file
}

/// The build context: the program and a Dockerfile.
fn context(program: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, mode, content) in
        [("Dockerfile", 0o644, &b"FROM scratch\nCOPY connect /connect\n"[..]), ("connect", 0o755, program)]
    {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, content).expect("a vector takes every byte");
    }
    tar.into_inner().expect("a vector takes every byte")
}

/// The port and the address as the program reads them: a letter for each 4 bits.
fn argument(to: &SocketAddrV4) -> String {
    let bytes = to.port().to_be_bytes().into_iter().chain(to.ip().octets());
    bytes.flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(b'a' + digit)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_argument_is_the_port_and_the_address() {
        assert_eq!(argument(&SocketAddrV4::new(Ipv4Addr::new(10, 192, 7, 1), 8080)), "bpjaakmaahab");
    }

    #[test]
    fn the_program_tells_whether_all_addresses_accept_a_connection() {
        let Some(program) = program(std::env::consts::ARCH) else { return };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("connect");
        std::fs::write(&path, program).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        // Bound and not listening, so that no other program gets the port.
        let closed = tokio::net::TcpSocket::new_v4().unwrap();
        closed.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = |at: std::net::SocketAddr| match at {
            std::net::SocketAddr::V4(at) => at,
            std::net::SocketAddr::V6(_) => unreachable!("bound to an IPv4 address"),
        };
        let (open_at, closed_at) = (address(open.local_addr().unwrap()), address(closed.local_addr().unwrap()));
        for (to, code) in [
            (vec![], 0),
            (vec![open_at], 0),
            (vec![open_at, open_at], 0),
            (vec![closed_at], 1),
            (vec![open_at, closed_at], 1),
        ] {
            let status = std::process::Command::new(&path).args(to.iter().map(argument)).status().unwrap();
            assert_eq!(status.code(), Some(code), "{to:?}");
        }
    }
}
