//! What `quantization_config` may say (`checkpoints.md` section 10). The format itself is told by the tensors.

use crate::checkpoint::config::file::ConfigFile;
use crate::checkpoint::error::{CheckpointError, quoted};
use crate::checkpoint::tensors::Module;

/// `quantization_config`: AutoAWQ's is known by its tensors, any other's tensors are not the tables'.
pub(in crate::checkpoint) fn refuse_quantised(file: &ConfigFile) -> Result<(), CheckpointError> {
    let Some(quantisation) = file.object("quantization_config")? else {
        return Ok(());
    };
    match (quantisation.string("quant_method")?, quantisation.integer("bits")?) {
        (Some("awq"), Some(4)) => Ok(()),
        _ => Err(file.fault_at(
            "quantization_config",
            "is set: the only quantised weights that are read are AWQ's of 4 bits",
        )),
    }
}

/// Whether the packed weights of `tensors` have the columns a group that AutoAWQ's `quantization_config` states; -1
/// stands for all columns of a row.
pub(in crate::checkpoint) fn require_group_size(file: &ConfigFile, tensors: &Module) -> Result<(), CheckpointError> {
    let Some(quantisation) = file.object("quantization_config")? else {
        return Ok(());
    };
    let Some(stated) = quantisation.integer("group_size")? else {
        return Ok(());
    };
    let other = tensors
        .iter_quantised()
        .find(|(_, weight)| stated != weight.group as i64 && (stated != -1 || weight.group != weight.inputs));
    let Some((name, weight)) = other else { return Ok(()) };
    let what = format!(
        "is {stated}, but {} is packed in groups of {}: fetch the checkpoint again, files and configuration together",
        quoted(name),
        weight.group
    );
    Err(quantisation.fault_at("group_size", what))
}
