//! Would decoding lose anything? Asked of the bytes, before they are decoded.
//!
//! `prost` skips fields it does not know, so an edited file would come back without them. Comparing lengths after a
//! round trip does not answer the question, because one list of numbers has two valid encodings. So the bytes are
//! walked once with a table of the fields that [`proto`](super::proto) keeps; a test holds table and messages
//! together. The same walk bounds nesting and the number of parts, because a few hundred megabytes of empty messages
//! would decode into many gigabytes.
//!
//! Source: the protocol buffers wire format, <https://protobuf.dev/programming-guides/encoding/>.

use crate::model::ModelError;

/// Messages inside messages: twenty nested subgraphs. Bounds the stack of everything that walks a document later.
const MAX_DEPTH: usize = 64;
/// Messages in one file. A graph of 10,000 nodes has about 100,000.
pub(super) const MAX_MESSAGES: usize = 500_000;
/// Strings and byte arrays in one file: vocabularies are lists of strings.
const MAX_STRINGS: usize = 8_000_000;

/// Refuses bytes of a `ModelProto` that would not survive being decoded and encoded again.
pub(super) fn check(bytes: &[u8]) -> Result<(), ModelError> {
    Walk::default().message(bytes, &MODEL, 0)
}

/// The fields of one message that `proto` keeps, by number.
struct Fields {
    message: &'static str,
    scalars: &'static [u32],
    messages: &'static [(u32, &'static Fields)],
    /// Known to the format, kept by nobody here.
    refused: &'static [(u32, &'static str)],
}

#[derive(Default)]
struct Walk {
    messages: usize,
    strings: usize,
}

impl Walk {
    fn message(&mut self, mut bytes: &[u8], fields: &'static Fields, depth: usize) -> Result<(), ModelError> {
        if depth > MAX_DEPTH {
            return Err(malformed(format!("messages are nested more than {MAX_DEPTH} deep")));
        }
        self.messages += 1;
        while !bytes.is_empty() {
            let key = varint(&mut bytes)?;
            let field = u32::try_from(key >> 3).map_err(|_| malformed(format!("bad key in {}", fields.message)))?;
            let known = Self::known(fields, field)?;
            match key & 7 {
                0 => {
                    varint(&mut bytes)?;
                }
                1 => {
                    take(&mut bytes, 8)?;
                }
                2 => {
                    let length = varint(&mut bytes)?;
                    let content = take(&mut bytes, length)?;
                    match known {
                        Some(inner) => self.message(content, inner, depth + 1)?,
                        None => self.strings += 1,
                    }
                }
                5 => {
                    take(&mut bytes, 4)?;
                }
                other => return Err(malformed(format!("wire type {other} in {}", fields.message))),
            }
            self.within_limits()?;
        }
        Ok(())
    }

    /// The message that a field leads to, `None` for a scalar, an error for a field that would be lost.
    fn known(fields: &Fields, field: u32) -> Result<Option<&'static Fields>, ModelError> {
        if let Some((_, inner)) = fields.messages.iter().find(|(number, _)| *number == field) {
            return Ok(Some(inner));
        }
        if fields.scalars.contains(&field) {
            return Ok(None);
        }
        let what = fields.refused.iter().find(|(number, _)| *number == field).map(|(_, what)| *what);
        Err(match what {
            Some(what) => ModelError::Unsupported { what },
            None => ModelError::UnknownField { message: fields.message, field },
        })
    }

    fn within_limits(&self) -> Result<(), ModelError> {
        if self.messages > MAX_MESSAGES {
            return Err(malformed(format!("more than {MAX_MESSAGES} messages")));
        }
        if self.strings > MAX_STRINGS {
            return Err(malformed(format!("more than {MAX_STRINGS} strings")));
        }
        Ok(())
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64, ModelError> {
    prost::encoding::decode_varint(bytes).map_err(|error| malformed(error.to_string()))
}

fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Result<&'a [u8], ModelError> {
    let split = usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length));
    let (content, rest) = split.ok_or_else(|| malformed("the file ends in the middle of a field".to_owned()))?;
    *bytes = rest;
    Ok(content)
}

fn malformed(reason: String) -> ModelError {
    ModelError::NotOnnx { reason }
}

static MODEL: Fields = Fields {
    message: "ModelProto",
    scalars: &[1, 2, 3, 4, 5, 6],
    messages: &[(7, &GRAPH), (8, &OPERATOR_SET), (14, &ENTRY), (25, &FUNCTION)],
    refused: &[(20, "training information"), (26, "device configurations")],
};

static FUNCTION: Fields = Fields {
    message: "FunctionProto",
    scalars: &[1, 4, 5, 6, 8, 10, 13],
    messages: &[(7, &NODE), (9, &OPERATOR_SET), (11, &ATTRIBUTE), (12, &VALUE_INFO), (14, &ENTRY)],
    refused: &[],
};

static GRAPH: Fields = Fields {
    message: "GraphProto",
    scalars: &[2, 10],
    messages: &[
        (1, &NODE),
        (5, &TENSOR),
        (11, &VALUE_INFO),
        (12, &VALUE_INFO),
        (13, &VALUE_INFO),
        (14, &ANNOTATION),
        (15, &SPARSE_TENSOR),
        (16, &ENTRY),
    ],
    refused: &[],
};

static NODE: Fields = Fields {
    message: "NodeProto",
    scalars: &[1, 2, 3, 4, 6, 7, 8],
    messages: &[(5, &ATTRIBUTE), (9, &ENTRY)],
    refused: &[(10, "device configurations")],
};

static ATTRIBUTE: Fields = Fields {
    message: "AttributeProto",
    scalars: &[1, 2, 3, 4, 7, 8, 9, 13, 20, 21],
    messages: &[
        (5, &TENSOR),
        (6, &GRAPH),
        (10, &TENSOR),
        (11, &GRAPH),
        (14, &TYPE),
        (15, &TYPE),
        (22, &SPARSE_TENSOR),
        (23, &SPARSE_TENSOR),
    ],
    refused: &[],
};

static TENSOR: Fields = Fields {
    message: "TensorProto",
    scalars: &[1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14],
    messages: &[(13, &ENTRY), (16, &ENTRY)],
    refused: &[(3, "segmented tensors")],
};

static SPARSE_TENSOR: Fields =
    Fields { message: "SparseTensorProto", scalars: &[3], messages: &[(1, &TENSOR), (2, &TENSOR)], refused: &[] };

static VALUE_INFO: Fields =
    Fields { message: "ValueInfoProto", scalars: &[1, 3], messages: &[(2, &TYPE), (4, &ENTRY)], refused: &[] };

static ANNOTATION: Fields =
    Fields { message: "TensorAnnotation", scalars: &[1], messages: &[(2, &ENTRY)], refused: &[] };

static TYPE: Fields = Fields {
    message: "TypeProto",
    scalars: &[6],
    messages: &[(1, &TENSOR_TYPE), (4, &SEQUENCE_TYPE), (5, &MAP_TYPE), (8, &TENSOR_TYPE), (9, &SEQUENCE_TYPE)],
    refused: &[(7, "opaque types")],
};

/// `TypeProto.Tensor` and `TypeProto.SparseTensor`: the same two fields.
static TENSOR_TYPE: Fields =
    Fields { message: "TypeProto.Tensor", scalars: &[1], messages: &[(2, &SHAPE)], refused: &[] };

/// `TypeProto.Sequence` and `TypeProto.Optional`: the same one field.
static SEQUENCE_TYPE: Fields =
    Fields { message: "TypeProto.Sequence", scalars: &[], messages: &[(1, &TYPE)], refused: &[] };

static MAP_TYPE: Fields = Fields { message: "TypeProto.Map", scalars: &[1], messages: &[(2, &TYPE)], refused: &[] };

static SHAPE: Fields = Fields { message: "TensorShapeProto", scalars: &[], messages: &[(1, &DIMENSION)], refused: &[] };

static DIMENSION: Fields = Fields { message: "Dimension", scalars: &[1, 2, 3], messages: &[], refused: &[] };

static OPERATOR_SET: Fields = Fields { message: "OperatorSetIdProto", scalars: &[1, 2], messages: &[], refused: &[] };

static ENTRY: Fields = Fields { message: "StringStringEntryProto", scalars: &[1, 2], messages: &[], refused: &[] };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::proto;
    use prost::{
        Message,
        encoding::{WireType, encode_key, encode_varint},
    };

    /// A field with this number, holding `content` as a message or string.
    fn field(number: u32, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_key(number, WireType::LengthDelimited, &mut bytes);
        encode_varint(content.len() as u64, &mut bytes);
        bytes.extend_from_slice(content);
        bytes
    }

    /// What `M` keeps of `bytes`: `None` when it cannot be decoded.
    fn kept<M: Message + Default>(bytes: &[u8]) -> Option<usize> {
        M::decode(bytes).ok().map(|message| message.encoded_len())
    }

    /// Every number that the table names is kept by the message, every other one up to 40 is lost by it.
    fn table_agrees<M: Message + Default>(fields: &Fields) {
        let empty = M::default().encoded_len();
        for number in 1..40 {
            let named = fields.scalars.contains(&number) || fields.messages.iter().any(|(n, _)| *n == number);
            // One byte that is not valid inside any message: a kept field stores it or fails on it.
            let mut encodings = vec![field(number, b"x")];
            for (wire, content) in
                [(WireType::Varint, &[1_u8][..]), (WireType::ThirtyTwoBit, &[1; 4]), (WireType::SixtyFourBit, &[1; 8])]
            {
                let mut bytes = Vec::new();
                encode_key(number, wire, &mut bytes);
                bytes.extend_from_slice(content);
                encodings.push(bytes);
            }
            let lost = encodings.iter().all(|bytes| kept::<M>(bytes) == Some(empty));
            assert_eq!(named, !lost, "field {number} of {}", fields.message);
        }
    }

    #[test]
    fn the_table_names_exactly_the_fields_that_the_messages_keep() {
        table_agrees::<proto::ModelProto>(&MODEL);
        table_agrees::<proto::FunctionProto>(&FUNCTION);
        table_agrees::<proto::GraphProto>(&GRAPH);
        table_agrees::<proto::NodeProto>(&NODE);
        table_agrees::<proto::AttributeProto>(&ATTRIBUTE);
        table_agrees::<proto::TensorProto>(&TENSOR);
        table_agrees::<proto::SparseTensorProto>(&SPARSE_TENSOR);
        table_agrees::<proto::ValueInfoProto>(&VALUE_INFO);
        table_agrees::<proto::TensorAnnotation>(&ANNOTATION);
        table_agrees::<proto::TypeProto>(&TYPE);
        table_agrees::<proto::type_proto::Tensor>(&TENSOR_TYPE);
        table_agrees::<proto::type_proto::SparseTensor>(&TENSOR_TYPE);
        table_agrees::<proto::type_proto::Sequence>(&SEQUENCE_TYPE);
        table_agrees::<proto::type_proto::Optional>(&SEQUENCE_TYPE);
        table_agrees::<proto::type_proto::Map>(&MAP_TYPE);
        table_agrees::<proto::TensorShapeProto>(&SHAPE);
        table_agrees::<proto::tensor_shape_proto::Dimension>(&DIMENSION);
        table_agrees::<proto::OperatorSetIdProto>(&OPERATOR_SET);
        table_agrees::<proto::StringStringEntryProto>(&ENTRY);
    }

    #[test]
    fn an_unknown_field_is_refused_wherever_it_is() {
        let node = field(99, b"new");
        let model = field(7, &field(1, &node));
        insta::assert_snapshot!(
            check(&model).unwrap_err(),
            @"field 99 of NodeProto is not known to this version and would be lost: export the model with an older ONNX format"
        );
    }

    #[test]
    fn parts_that_are_left_out_are_refused_by_name() {
        insta::assert_snapshot!(check(&field(20, b"")).unwrap_err(), @"the model uses training information, which are not supported: export it without");
    }

    #[test]
    fn a_cut_off_file_is_refused() {
        let model = field(7, b"");
        assert!(check(&model[..1]).is_err());
        assert!(check(&field(2, b"name")[..4]).is_err());
    }

    #[test]
    fn endless_nesting_is_refused_before_the_stack_ends() {
        let mut attribute = Vec::new();
        for _ in 0..40 {
            attribute = field(6, &field(1, &field(5, &attribute)));
        }
        let model = field(7, &field(1, &field(5, &attribute)));
        insta::assert_snapshot!(check(&model).unwrap_err(), @"not a readable ONNX file: messages are nested more than 64 deep");
    }

    #[test]
    fn a_flood_of_empty_messages_is_refused() {
        let graph: Vec<u8> = field(1, b"").repeat(MAX_MESSAGES + 1);
        assert!(check(&field(7, &graph)).is_err());
    }
}
