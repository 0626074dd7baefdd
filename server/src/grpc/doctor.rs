//! The service `Doctor`.

use stratus_proto::v1 as proto;
use stratus_proto::v1::doctor_server::Doctor;
use tonic::{Request, Response, Status};

use crate::doctor::{self, Health};
use crate::grpc::Api;

#[tonic::async_trait]
impl Doctor for Api {
    async fn check(
        &self,
        _: Request<proto::CheckRequest>,
    ) -> Result<Response<proto::CheckReply>, Status> {
        let config = self.control.config.lock().await.clone();
        let findings = doctor::examine(&config, self.control.examined.as_ref()).await;
        let findings = findings.into_iter().map(|finding| proto::Finding {
            subject: finding.subject,
            health: to_health(finding.health).into(),
            message: finding.message,
            remedy: finding.remedy,
        });
        Ok(Response::new(proto::CheckReply {
            findings: findings.collect(),
        }))
    }
}

fn to_health(health: Health) -> proto::Health {
    match health {
        Health::Good => proto::Health::Good,
        Health::Warning => proto::Health::Warning,
        Health::Bad => proto::Health::Bad,
    }
}
