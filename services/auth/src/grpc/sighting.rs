//! `postern.auth.v1.SightingService`.

use postern_mail::{PeerIp, Reason};
use postern_mesh::failure;
use postern_proto::auth::v1::{
    Door, NoteSightingsRequest, NoteSightingsResponse, sighting_service_server::SightingService,
};
use tonic::{Request, Response, Status};

use super::{invalid, peer_ip};
use crate::{redis_store::RedisStore, sightings};

/// Sightings of one call.
const SIGHTINGS_MAX: usize = 1000;

pub(crate) struct SightingFace {
    pub(crate) store: RedisStore,
}

#[tonic::async_trait]
impl SightingService for SightingFace {
    async fn note_sightings(
        &self,
        request: Request<NoteSightingsRequest>,
    ) -> Result<Response<NoteSightingsResponse>, Status> {
        let sightings = request.into_inner().sightings;
        if sightings.len() > SIGHTINGS_MAX {
            return Err(invalid("sightings", "at most 1000"));
        }
        let seen: Vec<(PeerIp, Door)> = sightings
            .iter()
            .map(|sighting| match sighting.door() {
                Door::Unspecified => Err(invalid("sightings.door", "which one?")),
                door => Ok((peer_ip(&sighting.peer_ip)?, door)),
            })
            .collect::<Result<_, _>>()?;
        sightings::note(&self.store, &seen).await.map_err(|error| {
            tracing::debug!(error = &error as &dyn std::error::Error, "sightings are lost");
            failure::status(Reason::Unavailable)
        })?;
        Ok(Response::new(NoteSightingsResponse {}))
    }
}
