//! The session of a build: over it, the engine asks for secrets and for logins of registries.
//!
//! The client opens a connection, upgrades it, and then is the server on it: the engine calls gRPC services of BuildKit.

use std::collections::BTreeMap;
use std::path::Path;

use bollard::moby::buildkit::secrets::v1::secrets_server::{Secrets, SecretsServer};
use bollard::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use bollard::moby::filesync::v1::auth_server::{Auth, AuthServer};
use bollard::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse, GetTokenAuthorityRequest,
    GetTokenAuthorityResponse, VerifyTokenAuthorityRequest, VerifyTokenAuthorityResponse,
};
use hyper::StatusCode;
use hyper_util::rt::TokioExecutor;
use hyper_util::service::TowerToHyperService;
use tokio_util::task::AbortOnDropHandle;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::http::{self, Connection};
use super::{DEADLINE, failure};
use crate::error::EngineError;
use crate::port::BuildSpec;
use crate::secret::{RegistryLogin, Secret};

/// The methods that the engine may call.
const METHODS: [&str; 2] = ["/moby.buildkit.secrets.v1.Secrets/GetSecret", "/moby.filesync.v1.Auth/Credentials"];

/// An open session. Dropping it closes the connection.
pub(super) struct Session {
    _server: AbortOnDropHandle<()>,
    _connection: Connection,
}

impl Session {
    /// Opens a session with this id, which must be unique on the engine.
    pub async fn open(socket: &Path, id: &str, spec: &BuildSpec) -> Result<Session, EngineError> {
        let opening = Self::open_without_deadline(socket, id, spec);
        let timeout = |_| EngineError::Timeout { verb: "session", after: DEADLINE };
        tokio::time::timeout(DEADLINE, opening).await.map_err(timeout)?
    }

    async fn open_without_deadline(socket: &Path, id: &str, spec: &BuildSpec) -> Result<Session, EngineError> {
        let mut headers = vec![("connection", "Upgrade"), ("upgrade", "h2c"), ("x-docker-expose-session-uuid", id)];
        headers.extend(METHODS.map(|method| ("x-docker-expose-session-grpc-method", method)));
        let broken = |error: hyper::Error| failure::broken_connection(socket, &error);
        let mut connection = Connection::open(socket).await?;
        let response = connection.send(http::post("/session", &headers, http::no_body())).await.map_err(broken)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(http::refusal("session", response).await);
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(broken)?;
        let (_, health) = tonic_health::server::health_reporter();
        let services = Routes::new(SecretsServer::new(BuildSecrets(spec.secrets.clone())))
            .add_service(AuthServer::new(Logins(spec.logins.clone())))
            // The engine ends a session that does not answer that it is well.
            .add_service(health);
        let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(upgraded, TowerToHyperService::new(services));
        // The engine closes the connection when the build ends. A build that still needs it fails with the engine's error.
        let server = tokio::spawn(async move { drop(serving.await) });
        Ok(Session { _server: AbortOnDropHandle::new(server), _connection: connection })
    }
}

struct BuildSecrets(BTreeMap<String, Secret>);

#[tonic::async_trait]
impl Secrets for BuildSecrets {
    async fn get_secret(&self, request: Request<GetSecretRequest>) -> Result<Response<GetSecretResponse>, Status> {
        // The engine mounts nothing for an unknown secret, unless the step requires it.
        let unknown = || Status::not_found("the build has no secret with this id");
        let secret = self.0.get(&request.get_ref().id).ok_or_else(unknown)?;
        Ok(Response::new(GetSecretResponse { data: secret.expose().as_bytes().to_vec() }))
    }
}

struct Logins(BTreeMap<String, RegistryLogin>);

#[tonic::async_trait]
impl Auth for Logins {
    async fn credentials(&self, request: Request<CredentialsRequest>) -> Result<Response<CredentialsResponse>, Status> {
        let host = match request.get_ref().host.as_str() {
            // The host that serves the images of docker.io.
            "registry-1.docker.io" => "docker.io",
            host => crate::reference::without_usual_port(host),
        };
        // Without a login the engine asks the registry anonymously.
        let login = self.0.get(host);
        Ok(Response::new(CredentialsResponse {
            username: login.map(|it| it.username.clone()).unwrap_or_default(),
            secret: login.map(|it| it.password.expose().to_owned()).unwrap_or_default(),
        }))
    }

    async fn fetch_token(&self, _: Request<FetchTokenRequest>) -> Result<Response<FetchTokenResponse>, Status> {
        Err(fetches_tokens())
    }

    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(fetches_tokens())
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(fetches_tokens())
    }
}

/// After this answer the engine fetches tokens itself, with the credentials.
fn fetches_tokens() -> Status {
    Status::unimplemented("the engine fetches tokens itself")
}
