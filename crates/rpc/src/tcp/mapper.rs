//! Asking an endpoint mapper over TCP, and being one.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::client::Client;
use super::connect::{Target, Timeouts};
use super::patience::Patience;
use super::server::{CallContext, Reply, Service};
use crate::client::ClientConfig;
use crate::epm::{
    EPT_LOOKUP_HANDLE_FREE, EPT_MAP, EPT_S_NOT_REGISTERED, MapRequest, MapResponse, Tower,
};
use crate::error::{Error, NetworkError, Result, Stage};
use crate::fault::FaultStatus;
use crate::limits::{MAX_MAPPER_STUB, MAX_TOWERS};
use crate::ndr::{ContextHandle, NdrWriter};
use crate::pdu::ContextReason;
use crate::server::IncomingCall;
use crate::syntax::{ENDPOINT_MAPPER, NDR, SyntaxId};

/// Asks the endpoint mapper at `mapper` for the TCP port of an interface.
/// Nothing protects the answer: whoever forges it can only send us to a server
/// that then fails to prove that it knows the session's key.
///
/// # Errors
/// [`Error::InterfaceRefused`] when the interface is not registered, otherwise
/// any [`Error`].
pub async fn resolve_port(mapper: &Target, interface: SyntaxId, timeouts: Timeouts) -> Result<u16> {
    let config = ClientConfig { max_stub: MAX_MAPPER_STUB, ..ClientConfig::new(ENDPOINT_MAPPER) };
    let client = Client::connect(mapper, config, None, timeouts).await?;
    let call = client.call(EPT_MAP, MapRequest::tcp(interface).encode()?);
    // The answer is short, so that all of it has the time of a beginning.
    let answer = Patience::new(timeouts.silence).wait(call).await;
    let stub = answer.map_err(|kind| NetworkError { during: Stage::Call, kind })??;
    let response = MapResponse::decode(&stub)?;
    // The connection goes with the client, and with it the mapper's handle.
    response.tcp_port(&interface).ok_or(Error::InterfaceRefused(ContextReason::AbstractSyntax))
}

/// An endpoint mapper's table, and the service that answers from it.
#[derive(Clone, Debug, Default)]
pub struct EndpointMap {
    /// Interfaces with their TCP ports.
    pub entries: Vec<(SyntaxId, u16)>,
    /// The address that towers carry; clients use the one they asked.
    pub address: Option<Ipv4Addr>,
}

impl EndpointMap {
    fn map(&self, stub: &[u8]) -> Result<Vec<u8>, FaultStatus> {
        let request = MapRequest::decode(stub).map_err(|_| FaultStatus::BAD_STUB_DATA)?;
        let wanted = request.tower.syntaxes();
        let by_tcp = request.tower.tcp_endpoint().is_some();
        let max_towers = request.max_towers.min(MAX_TOWERS);
        let towers: Vec<Tower> = self
            .entries
            .iter()
            .filter(|(served, _)| {
                by_tcp
                    && wanted.is_some_and(|(interface, transfer)| {
                        served.serves(&interface) && transfer == NDR
                    })
            })
            .map(|(served, port)| {
                Tower::tcp(*served, *port, self.address.unwrap_or(Ipv4Addr::UNSPECIFIED))
            })
            .take(max_towers as usize)
            .collect();
        let status = if towers.is_empty() { EPT_S_NOT_REGISTERED } else { 0 };
        MapResponse { handle: ContextHandle::NULL, towers, status }
            .encode(max_towers)
            .map_err(|_| FaultStatus::OUT_ARGS_TOO_BIG)
    }
}

impl Service for EndpointMap {
    type Association = ();

    async fn call(self: Arc<Self>, _: CallContext<()>, call: IncomingCall) -> Reply {
        match call.opnum {
            EPT_MAP => self.map(&call.stub).into(),
            EPT_LOOKUP_HANDLE_FREE => {
                let mut w = NdrWriter::new();
                w.context_handle(&ContextHandle::NULL);
                w.u32(0);
                Reply::Stub(w.into_stub())
            }
            _ => Reply::Fault(FaultStatus::OP_RANGE),
        }
    }
}
