//! The service `Nginx`.

use stratus_proto::v1 as proto;
use stratus_proto::v1::nginx_server::Nginx;
use tonic::{Request, Response, Status};

use crate::engine::route::Updated;
use crate::grpc::{Api, actor, status};

#[tonic::async_trait]
impl Nginx for Api {
    async fn update(
        &self,
        request: Request<proto::UpdateNginxRequest>,
    ) -> Result<Response<proto::UpdateNginxReply>, Status> {
        let actor = actor(&request);
        let environment = self.environment(&request.into_inner().environment).await?;
        let name = &environment.name;
        let updated = self.control.machine.update_rules(&environment).await;
        let updated = updated.map_err(|error| {
            let refused = status::update(&error);
            tracing::warn!(environment = %name, %actor, error = refused.message(), "nginx's files are refused");
            refused
        })?;
        if updated.changed {
            tracing::info!(environment = %name, %actor, files = updated.rules.files.len(), "nginx's files are accepted");
        }
        Ok(Response::new(to_reply(name.to_string(), updated)))
    }
}

fn to_reply(environment: String, updated: Updated) -> proto::UpdateNginxReply {
    proto::UpdateNginxReply {
        environment,
        files: updated.rules.files,
        directives: updated.rules.directives,
        changed: updated.changed,
        reloaded: updated.reloaded,
    }
}
