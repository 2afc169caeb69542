//! The server's stubs: a trait with a method an operation, and what calls it.

use std::future::Future;
use std::sync::Arc;

use quarry_rpc::tcp::{CallContext, Reply, Service};
use quarry_rpc::{FaultStatus, IncomingCall};

use crate::Opnum;
use crate::opnum::with_operations;
use crate::wire::*;

/// Why an operation has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refuse {
    /// A fault instead.
    Fault(FaultStatus),
    /// The connection is closed.
    Hangup,
    /// No answer ever.
    Silence,
}

impl From<FaultStatus> for Refuse {
    fn from(status: FaultStatus) -> Self {
        Self::Fault(status)
    }
}

macro_rules! define {
    ($($number:literal, $name:ident, $method:ident;)*) => {
        /// An MS-EVEN6 server. An operation that is not implemented is answered
        /// with the fault "operation number out of range".
        pub trait EventService: Send + Sync + 'static {
            /// What is kept for a client's association group: its handles.
            type Association: Default + Send + Sync + 'static;

            $(
                #[doc = concat!("`EvtRpc", stringify!($name), "`, opnum ", stringify!($number), ".")]
                fn $method(
                    &self,
                    context: &CallContext<Self::Association>,
                    request: <$name as Operation>::Request,
                ) -> impl Future<Output = Result<<$name as Operation>::Response, Refuse>> + Send {
                    let _ = (context, request);
                    async { Err(Refuse::Fault(FaultStatus::OP_RANGE)) }
                }
            )*
        }

        impl<S: EventService> EventServer<S> {
            async fn dispatch(
                &self,
                context: &CallContext<S::Association>,
                opnum: Opnum,
                stub: &[u8],
            ) -> Result<Vec<u8>, Refuse> {
                match opnum {
                    $(Opnum::$name => {
                        let request = <$name as Operation>::Request::decode(stub)
                            .map_err(|_| FaultStatus::BAD_STUB_DATA)?;
                        let response = self.0.$method(context, request).await?;
                        Ok(response.encode().map_err(|_| FaultStatus::OUT_ARGS_TOO_BIG)?)
                    })*
                }
            }
        }
    };
}

with_operations!(define);

/// Serves an [`EventService`] over RPC.
#[derive(Debug)]
pub struct EventServer<S>(Arc<S>);

impl<S> EventServer<S> {
    /// Wraps a service.
    pub fn new(service: Arc<S>) -> Self {
        Self(service)
    }
}

impl<S: EventService> Service for EventServer<S> {
    type Association = S::Association;

    async fn call(
        self: Arc<Self>,
        context: CallContext<S::Association>,
        call: IncomingCall,
    ) -> Reply {
        let Some(opnum) = Opnum::from_number(call.opnum) else {
            return Reply::Fault(FaultStatus::OP_RANGE);
        };
        match self.dispatch(&context, opnum, &call.stub).await {
            Ok(stub) => Reply::Stub(stub),
            Err(Refuse::Fault(status)) => Reply::Fault(status),
            Err(Refuse::Hangup) => Reply::Hangup,
            Err(Refuse::Silence) => Reply::Silence,
        }
    }
}
