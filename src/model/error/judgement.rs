//! Whose fault an error of a model is, and what follows.

use super::ModelError;
use crate::fault::{Judged, Judgement};

impl Judged for ModelError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::Runtime(error) => error.judgement(),
            Self::TooLarge { .. }
            | Self::NotOnnx { .. }
            | Self::UnknownField { .. }
            | Self::Unsupported { .. }
            | Self::UnboundedLoop { .. }
            | Self::UnboundedDivisor { .. }
            | Self::UnknownDomain { .. }
            | Self::Load { .. }
            | Self::InputsDoNotFit { .. }
            | Self::OutputDoesNotFit { .. }
            | Self::FingerprintDiffers { .. }
            | Self::Mixes { .. }
            | Self::NotTwoClasses { .. }
            | Self::Build { .. }
            | Self::NoPrediction { .. }
            | Self::LossDoesNotFit { .. }
            | Self::NameTaken { .. }
            | Self::NotMeasurable { .. }
            | Self::NothingToTrain { .. }
            | Self::FreezeUnknown { .. }
            | Self::NoGradient { .. }
            | Self::OptimizerSetting { .. }
            | Self::ClipNorm { .. }
            | Self::ParameterValues { .. }
            | Self::LabelShape { .. }
            // The model runs in ONNX Runtime only, and does not on what it is given.
            | Self::Run { .. }
            | Self::OutputShape { .. } => Judgement::OPERATOR,
            Self::File(error) => error.judgement(),
            Self::Upgrade(error) => error.judgement(),
            Self::Objective(error) => error.judgement(),
            Self::Trial(error) => error.judgement(),
            Self::NotWhole { .. } | Self::NotHeld { .. } | Self::NotFinite { .. } | Self::Label { .. } | Self::Restore { .. } => {
                Judgement::DATA
            }
            Self::MatrixSize { .. }
            | Self::GradientSize { .. }
            | Self::GradientRow { .. }
            | Self::GradientShape { .. }
            | Self::BatchSize { .. } => Judgement::DEFECT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RuntimeError;

    #[test]
    fn each_error_says_whose_it_is() {
        for (error, judgement) in [
            (RuntimeError::Missing { file: String::new() }.into(), Judgement::OPERATOR),
            (ModelError::Run { reason: String::new() }, Judgement::OPERATOR),
            (ModelError::TooLarge { limit: 1 }, Judgement::OPERATOR),
            (ModelError::NotFinite { count: 1, rows: 2 }, Judgement::DATA),
            (ModelError::MatrixSize { values: 3, rows: 2, columns: 2 }, Judgement::DEFECT),
        ] {
            assert_eq!(error.judgement(), judgement, "{error}");
        }
    }
}
