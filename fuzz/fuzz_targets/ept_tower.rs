//! The endpoint mapper's towers, requests and answers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quarry_rpc::ENDPOINT_MAPPER;
use quarry_rpc::epm::{MapRequest, MapResponse, Tower};

fuzz_target!(|data: &[u8]| {
    let Some((&what, bytes)) = data.split_first() else { return };
    match what % 3 {
        0 => {
            if let Ok(tower) = Tower::decode(bytes) {
                assert_eq!(tower.encode(), bytes);
                let _ = (tower.syntaxes(), tower.tcp_endpoint());
            }
        }
        1 => {
            if let Ok(request) = MapRequest::decode(bytes) {
                let again = request.encode().unwrap();
                assert_eq!(MapRequest::decode(&again).unwrap(), request);
            }
        }
        _ => {
            if let Ok(response) = MapResponse::decode(bytes) {
                let _ = response.tcp_port(&ENDPOINT_MAPPER);
                let again = response.encode(16).unwrap();
                assert_eq!(MapResponse::decode(&again).unwrap(), response);
            }
        }
    }
});
