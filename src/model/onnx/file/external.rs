//! Values of tensors in files beside the model, brought inside.
//!
//! A tensor names a file, where its values begin in it, and how many bytes they are (ONNX, "External Data"). Only regular
//! files below the model's folder are read, whatever a name or a link says: a model that somebody sent must not make this
//! program read another file of the machine. A checksum is not compared; the digest of what comes out covers every byte.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use super::FileError;
use crate::model::{
    ModelError,
    onnx::{
        document::MAX_FILE_BYTES,
        proto::{
            AttributeProto, DATA_LOCATION_EXTERNAL, GraphProto, ModelProto, NodeProto, SparseTensorProto,
            StringStringEntryProto, TensorProto, data_type,
        },
    },
};

/// Brings the values of every tensor inside, of functions too; whether there were any outside. `room` is how many bytes the
/// model may grow by.
pub(super) fn embed(model: &mut ModelProto, folder: &Path, room: u64) -> Result<bool, ModelError> {
    let mut embedding = Embedding { folder, room, is_any: false };
    embedding.graph(&mut model.graph)?;
    for function in &mut model.functions {
        embedding.attributes(&mut function.attribute_proto)?;
        embedding.nodes(&mut function.node)?;
    }
    Ok(embedding.is_any)
}

struct Embedding<'a> {
    folder: &'a Path,
    room: u64,
    is_any: bool,
}

/// Where the values of a tensor are.
struct Place {
    file: PathBuf,
    offset: u64,
    length: u64,
}

impl Embedding<'_> {
    fn graph(&mut self, graph: &mut GraphProto) -> Result<(), ModelError> {
        for tensor in &mut graph.initializer {
            self.tensor(tensor)?;
        }
        for tensor in &mut graph.sparse_initializer {
            self.sparse(tensor)?;
        }
        self.nodes(&mut graph.node)
    }

    fn nodes(&mut self, nodes: &mut [NodeProto]) -> Result<(), ModelError> {
        nodes.iter_mut().try_for_each(|node| self.attributes(&mut node.attribute))
    }

    fn attributes(&mut self, attributes: &mut [AttributeProto]) -> Result<(), ModelError> {
        for attribute in attributes {
            for tensor in attribute.t.as_deref_mut().into_iter().chain(&mut attribute.tensors) {
                self.tensor(tensor)?;
            }
            for tensor in attribute.sparse_tensor.as_deref_mut().into_iter().chain(&mut attribute.sparse_tensors) {
                self.sparse(tensor)?;
            }
            for graph in attribute.g.as_deref_mut().into_iter().chain(&mut attribute.graphs) {
                self.graph(graph)?;
            }
        }
        Ok(())
    }

    fn sparse(&mut self, tensor: &mut SparseTensorProto) -> Result<(), ModelError> {
        tensor.values.iter_mut().chain(&mut tensor.indices).try_for_each(|part| self.tensor(part))
    }

    fn tensor(&mut self, tensor: &mut TensorProto) -> Result<(), ModelError> {
        if tensor.data_location() != DATA_LOCATION_EXTERNAL {
            return Ok(());
        }
        let location = entry(tensor, "location").unwrap_or_default();
        let refuse = |reason| FileError::ExternalData {
            tensor: tensor.name().to_owned(),
            location: location.to_owned(),
            reason,
        };
        let place = self.place(tensor, location).map_err(refuse)?;
        self.room = self.room.checked_sub(place.length).ok_or(ModelError::TooLarge { limit: MAX_FILE_BYTES })?;
        let values = place.read().map_err(refuse)?;
        tensor.raw_data = Some(values);
        tensor.data_location = None;
        tensor.external_data.clear();
        self.is_any = true;
        Ok(())
    }

    /// Where the values of a tensor are, in a file that may be read and has all of them.
    fn place(&self, tensor: &TensorProto, location: &str) -> Result<Place, String> {
        let length = byte_length(tensor)?;
        let offset = number(tensor, "offset")?.unwrap_or(0);
        if let Some(said) = number(tensor, "length")?.filter(|said| *said != length) {
            return Err(format!(
                "its shape {:?} makes {length} bytes, length says {said}: the file is damaged, export it again",
                tensor.dims
            ));
        }
        let file = self.below(location)?;
        let facts = file.metadata().map_err(|error| error.to_string())?;
        if !facts.is_file() {
            return Err("that is no regular file: put the file itself there".to_owned());
        }
        let size = facts.len();
        match offset.checked_add(length) {
            Some(end) if end <= size => Ok(Place { file, offset, length }),
            _ => Err(format!(
                "it has {size} bytes, the values are the {length} from {offset} on: copy the whole file, of the same export"
            )),
        }
    }

    /// The file of this name, where it lies below the model's folder.
    fn below(&self, location: &str) -> Result<PathBuf, String> {
        let here = "put it beside the model and name it so";
        let name = Path::new(location);
        let is_below = name.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if location.is_empty() || !is_below {
            return Err(format!("only files below the model's folder are read: {here}"));
        }
        let missing = |error: std::io::Error| format!("{error}: copy it beside the model");
        let folder = self.folder.canonicalize().map_err(missing)?;
        let file = folder.join(name).canonicalize().map_err(missing)?;
        if !file.starts_with(&folder) {
            return Err(format!("it is a link out of the model's folder: {here}"));
        }
        Ok(file)
    }
}

impl Place {
    fn read(&self) -> Result<Vec<u8>, String> {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(&self.file)?;
            file.seek(SeekFrom::Start(self.offset))?;
            let mut values = vec![0; self.length as usize];
            file.read_exact(&mut values)?;
            Ok(values)
        };
        read().map_err(|error| error.to_string())
    }
}

fn entry<'a>(tensor: &'a TensorProto, key: &str) -> Option<&'a str> {
    tensor.external_data.iter().find(|entry| entry.key() == key).map(StringStringEntryProto::value)
}

fn number(tensor: &TensorProto, key: &str) -> Result<Option<u64>, String> {
    let Some(text) = entry(tensor, key) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| format!("its {key} {text:?} is no number: the file is damaged, export it again"))
}

/// How many bytes the values of a tensor are, by its type and shape.
fn byte_length(tensor: &TensorProto) -> Result<u64, String> {
    let bits = bits(tensor.data_type())
        .ok_or_else(|| format!("values of type {} can't be in another file: export it again", tensor.data_type()))?;
    let elements = tensor.dims.iter().try_fold(1_u64, |product, dim| product.checked_mul(u64::try_from(*dim).ok()?));
    let length = elements.and_then(|elements| elements.checked_mul(bits)).map(|bits| bits.div_ceil(8));
    length.ok_or_else(|| format!("its shape {:?} is none: the file is damaged, export it again", tensor.dims))
}

/// Bits of one element. Elements of fewer than 8 bits are packed.
fn bits(element: i32) -> Option<u64> {
    Some(match element {
        data_type::UINT8
        | data_type::INT8
        | data_type::BOOL
        | data_type::FLOAT8E4M3FN..=data_type::FLOAT8E5M2FNUZ
        | data_type::FLOAT8E8M0 => 8,
        data_type::UINT16 | data_type::INT16 | data_type::FLOAT16 | data_type::BFLOAT16 => 16,
        data_type::FLOAT | data_type::INT32 | data_type::UINT32 => 32,
        data_type::DOUBLE | data_type::INT64 | data_type::UINT64 | data_type::COMPLEX64 => 64,
        data_type::COMPLEX128 => 128,
        data_type::UINT4 | data_type::INT4 | data_type::FLOAT4E2M1 => 4,
        data_type::UINT2 | data_type::INT2 => 2,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_elements_fill_whole_bytes() {
        let length = |data_type, dims: &[i64]| {
            byte_length(&TensorProto { data_type: Some(data_type), dims: dims.to_vec(), ..Default::default() })
        };
        assert_eq!(length(data_type::INT4, &[3]), Ok(2));
        assert_eq!(length(data_type::UINT2, &[5]), Ok(2));
        assert_eq!(length(data_type::FLOAT16, &[2, 3]), Ok(12));
        assert_eq!(length(data_type::DOUBLE, &[]), Ok(8));
        assert_eq!(length(data_type::FLOAT, &[4, 0]), Ok(0));
        assert!(length(data_type::STRING, &[1]).is_err() && length(0, &[1]).is_err());
        assert!(length(data_type::FLOAT, &[-1]).is_err() && length(data_type::FLOAT, &[i64::MAX, 8]).is_err());
    }
}
