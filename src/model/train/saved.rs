//! Training that goes on after a restart: weights, what the optimiser keeps beside them, and its steps, as bytes.
//!
//! ```text
//!   "twtrain1" │ SHA-256 of the rest │ Saved, as protobuf, with its tensors as ONNX TensorProtos
//! ```
//!
//! Numbers are kept bit for bit. Of the model only what is trained is kept, and a digest of all else in its graph, so
//! that weights do not end up around other operators or other frozen weights.

use prost::Message;
use sha2::{Digest, Sha256};

use crate::model::{
    onnx::{Document, float_values, proto::TensorProto},
    optimiser::Optimizer,
    train::parameter::{Parameter, tensor},
};

/// Says what the bytes are, and in which version.
const MARK: &[u8; 8] = b"twtrain1";
const DIGEST_BYTES: usize = 32;

#[derive(Clone, PartialEq, prost::Message)]
struct Saved {
    #[prost(string, tag = "1")]
    optimizer: String,
    #[prost(uint64, tag = "2")]
    steps: u64,
    /// The digest of the graph without the weights.
    #[prost(bytes = "vec", tag = "3")]
    graph: Vec<u8>,
    #[prost(message, repeated, tag = "4")]
    weights: Vec<TensorProto>,
    /// As many for each parameter as the optimiser keeps, named `parameter/slot`.
    #[prost(message, repeated, tag = "5")]
    beside: Vec<TensorProto>,
}

/// The bytes of this state.
pub(super) fn write(template: &Document, parameters: &[Parameter], optimizer: &Optimizer) -> Vec<u8> {
    let slots = parameters.iter().enumerate().flat_map(|(number, parameter)| {
        let slots = optimizer.slots(number);
        slots.map(|(slot, values)| tensor(&slot_name(parameter, slot), &parameter.dims, values))
    });
    let saved = Saved {
        optimizer: optimizer.spec().name().to_owned(),
        steps: optimizer.steps(),
        graph: digest_of(template),
        weights: parameters.iter().map(Parameter::tensor).collect(),
        beside: slots.collect(),
    };
    let body = saved.encode_to_vec();
    [MARK.as_slice(), &Sha256::digest(&body), &body].concat()
}

/// Puts a saved state in place, all of it or nothing; an error is the reason, or what differs.
pub(super) fn read(
    bytes: &[u8],
    template: &Document,
    parameters: &mut [Parameter],
    optimizer: &mut Optimizer,
) -> Result<(), String> {
    let saved = decode(bytes)?;
    compare(&saved, template, parameters, optimizer)?;
    let found = |tensors: &[TensorProto], name: &str| {
        tensors.iter().find(|tensor| tensor.name() == name).map(float_values).unwrap_or_default()
    };
    for (number, parameter) in parameters.iter_mut().enumerate() {
        parameter.weights.copy_from_slice(&found(&saved.weights, &parameter.name));
        for (slot, values) in optimizer.slots_mut(number) {
            values.copy_from_slice(&found(&saved.beside, &slot_name(parameter, slot)));
        }
    }
    optimizer.set_steps(saved.steps);
    Ok(())
}

fn decode(bytes: &[u8]) -> Result<Saved, String> {
    let rest = bytes.strip_prefix(MARK.as_slice());
    let rest = rest.ok_or_else(|| "it is not a training state of this version".to_owned())?;
    let damaged = || "it is damaged, its digest is another".to_owned();
    let (digest, body) = rest.split_at_checked(DIGEST_BYTES).ok_or_else(damaged)?;
    if Sha256::digest(body).as_slice() != digest {
        return Err(damaged());
    }
    Saved::decode(body).map_err(|error| error.to_string())
}

/// Does every tensor that is needed exist with the right shape, and none that is not?
fn compare(saved: &Saved, template: &Document, parameters: &[Parameter], optimizer: &Optimizer) -> Result<(), String> {
    let name = optimizer.spec().name();
    if saved.optimizer != name {
        return Err(format!("it was saved by optimizer {}, the settings say {name}", saved.optimizer));
    }
    for (number, parameter) in parameters.iter().enumerate() {
        same_shape(&saved.weights, &parameter.name, parameter)?;
        for (slot, _) in optimizer.slots(number) {
            same_shape(&saved.beside, &slot_name(parameter, slot), parameter)?;
        }
    }
    let wanted = |tensor: &&TensorProto| parameters.iter().any(|parameter| parameter.name == tensor.name());
    if let Some(extra) = saved.weights.iter().find(|tensor| !wanted(tensor)) {
        return Err(format!("it has weights of {:?}, which the model has not or does not train", extra.name()));
    }
    let slots = (0..parameters.len()).map(|number| optimizer.slots(number).count()).sum::<usize>();
    if saved.beside.len() != slots {
        return Err(format!(
            "it has {} tensors of optimizer state, {name} as set now keeps {slots}",
            saved.beside.len()
        ));
    }
    if saved.graph != digest_of(template) {
        return Err("its weights fit, but the operators or the frozen weights around them are others".to_owned());
    }
    Ok(())
}

fn same_shape(tensors: &[TensorProto], name: &str, parameter: &Parameter) -> Result<(), String> {
    let Some(tensor) = tensors.iter().find(|tensor| tensor.name() == name) else {
        return Err(format!("it has no {name:?}, which is trained now"));
    };
    let dims: Vec<i64> = parameter.dims.iter().map(|dim| *dim as i64).collect();
    if tensor.dims != dims {
        return Err(format!("it has {name:?} of shape {:?}, the model's is {dims:?}", tensor.dims));
    }
    let count = tensor.raw_data().len() / 4;
    if count != parameter.weights.len() {
        return Err(format!("it has {count} values for {name:?} of shape {dims:?}"));
    }
    Ok(())
}

fn slot_name(parameter: &Parameter, slot: &str) -> String {
    format!("{}/{slot}", parameter.name)
}

fn digest_of(template: &Document) -> Vec<u8> {
    Sha256::digest(template.graph().encode_to_vec()).to_vec()
}
