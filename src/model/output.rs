//! Which number of a model's outputs is the score.
//!
//! ```text
//!   [batch], [batch, 1]     the score
//!   [batch, 2]              the second, where the two are probabilities of classes; else the one that `class` names
//!   [batch, n]              the one that `class` names, by its number or by the name that the model gives the class
//! ```

use super::{
    batches::free_batch,
    signature::{ElementType, Signature, TensorSpec},
};

/// Which number of a model's outputs is the score.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScoreOutput<'a> {
    /// The output; not needed when only one can be it.
    pub name: Option<&'a str>,
    /// Its column, where it has several; not needed when they are the probabilities of two classes: then it is the second.
    pub class: Option<&'a Class>,
}

/// A column of an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// By its number from 0.
    At(usize),
    /// By the name of the class that it is the score of.
    Named(String),
}

impl std::fmt::Display for Class {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::At(column) => write!(formatter, "class = {column}"),
            Self::Named(name) => write!(formatter, "class = {name:?}"),
        }
    }
}

/// The output that is the score and, where somebody has said so, its column. `rows` is how many each output has, where the inputs
/// fix that.
pub(super) fn find_output<'a>(
    signature: &'a Signature,
    wanted: &ScoreOutput<'_>,
    rows: Option<usize>,
) -> Result<(&'a TensorSpec, Option<usize>), String> {
    let width = |output: &TensorSpec| width(output, rows);
    let output = match wanted.name {
        Some(name) => {
            let output = signature.outputs.iter().find(|output| output.name == name);
            let output = output.ok_or_else(|| format!("there is no output {name:?}"))?;
            let refused =
                || fixed_rows(output).unwrap_or_else(|| format!("output {name:?} can't be it{}", without_maps(output)));
            width(output).map(|_| output).ok_or_else(refused)?
        }
        None => only(&signature.outputs, width)?,
    };
    let class = column(output, width(output).unwrap_or(Width::Open), wanted.class, &signature.classes)?;
    Ok((output, class))
}

/// How many numbers an output has for each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    /// A shape that is not declared in full is left to the first run.
    Open,
    Of(usize),
}

/// The width of an output that can be a score.
fn width(output: &TensorSpec, rows: Option<usize>) -> Option<Width> {
    let is_float = matches!(output.element, ElementType::Float32 | ElementType::Float64 | ElementType::Float16);
    let Some([batch, rest @ ..]) = output.dims.as_deref() else {
        return (is_float && output.dims.is_none()).then_some(Width::Open);
    };
    let has_rows = batch.is_none_or(|batch| Some(batch) == rows.map(|rows| rows as u64));
    let width = match rest {
        [] => Width::Of(1),
        [None, rest @ ..] if rest.iter().all(|dim| *dim == Some(1)) => Width::Open,
        [Some(width @ 1..), rest @ ..] if rest.iter().all(|dim| *dim == Some(1)) => {
            Width::Of(usize::try_from(*width).ok()?)
        }
        _ => return None,
    };
    (is_float && has_rows).then_some(width)
}

/// What is wrong with an output of floats that has a number of rows of its own, not the inputs'.
fn fixed_rows(output: &TensorSpec) -> Option<String> {
    let TensorSpec { name, element, dims } = output;
    let is_float = matches!(element, ElementType::Float32 | ElementType::Float64 | ElementType::Float16);
    let rows = (*dims.as_deref()?.first()?).filter(|_| is_float)?;
    Some(format!(
        "output {name:?} has exactly {rows} row(s), whatever goes in: export it with a first dimension that is free ({})",
        free_batch(name)
    ))
}

/// The one output that is meant where none is named: one number per row, or two, before many; float32 before other floats.
fn only(outputs: &[TensorSpec], width: impl Fn(&TensorSpec) -> Option<Width>) -> Result<&TensorSpec, String> {
    let is_narrow = |output: &&TensorSpec| matches!(width(output), Some(Width::Open | Width::Of(1 | 2)));
    let is_single = |output: &&TensorSpec| output.element == ElementType::Float32;
    let narrow: Vec<_> = outputs.iter().filter(is_narrow).collect();
    let single: Vec<_> = narrow.iter().copied().filter(is_single).collect();
    let wide: Vec<_> = outputs.iter().filter(|output| width(output).is_some()).collect();
    match [single, narrow, wide].into_iter().find(|found| !found.is_empty()).as_deref() {
        Some([output]) => Ok(output),
        Some(_) => Err("several outputs could be it: name one as output under [model]".to_owned()),
        None => Err(outputs.iter().find_map(fixed_rows).unwrap_or_else(|| {
            let way_out = outputs.iter().map(without_maps).find(|way_out| !way_out.is_empty());
            format!("no output can be it{}", way_out.unwrap_or_default())
        })),
    }
}

/// What to do with a list of maps from class to probability that could not be [seen through](super::onnx).
fn without_maps(output: &TensorSpec) -> &'static str {
    if output.element == ElementType::Other("sequence") {
        " (for a tensor instead of maps convert the model with zipmap=False, in skl2onnx options={\"zipmap\": False})"
    } else {
        ""
    }
}

/// The column of an output that a class is.
fn column(
    output: &TensorSpec,
    width: Width,
    class: Option<&Class>,
    named: &[Vec<String>],
) -> Result<Option<usize>, String> {
    let TensorSpec { name, .. } = output;
    // The names of as many classes as there are columns.
    let fits = |names: &&Vec<String>| matches!(width, Width::Open) || width == Width::Of(names.len());
    let mut names = named.iter().filter(fits);
    match (class, width) {
        (None, Width::Open | Width::Of(1 | 2)) => Ok(None),
        (None, Width::Of(columns)) => {
            let known = names.next().map_or_else(String::new, |names| format!(", or by its name: {}", list(names)));
            Err(format!(
                "output {name:?} has {columns} columns: say which with class under [model], by its number from 0 to {}{known}",
                columns - 1
            ))
        }
        (Some(class), Width::Of(1)) => {
            Err(format!("{class} under [model] names one of several columns, output {name:?} has one: leave class out"))
        }
        (Some(Class::At(column)), Width::Of(columns)) if *column >= columns => Err(format!(
            "class = {column} under [model] is no column of output {name:?}, which has {columns}: 0 to {}",
            columns - 1
        )),
        (Some(Class::At(column)), _) => Ok(Some(*column)),
        (Some(Class::Named(class)), _) => {
            let known: Vec<&Vec<String>> = names.collect();
            let found = known.iter().find_map(|names| names.iter().position(|name| name == class));
            found.map(Some).ok_or_else(|| match known.first() {
                Some(names) => format!("class = {class:?} under [model] is none of the model's classes: {}", list(names)),
                None => format!(
                    "class = {class:?} under [model] is a name, and the model names no classes of output {name:?}: give the \
                     number of its column, from 0"
                ),
            })
        }
    }
}

fn list(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("{name:?}")).collect();
    let more = names.len().saturating_sub(SHOWN);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(name: &str, element: ElementType, dims: &[Option<u64>]) -> TensorSpec {
        TensorSpec { name: name.to_owned(), element, dims: Some(dims.to_vec()) }
    }

    fn float(name: &str, dims: &[Option<u64>]) -> TensorSpec {
        output(name, ElementType::Float32, dims)
    }

    fn find(outputs: &[TensorSpec], wanted: &ScoreOutput<'_>) -> Result<(String, Option<usize>), String> {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let classes = vec![names(&["cat", "dog", "eel"]), names(&["no", "yes"])];
        let signature = Signature { inputs: Vec::new(), outputs: outputs.to_vec(), classes };
        find_output(&signature, wanted, None).map(|(output, class)| (output.name.clone(), class))
    }

    fn of_class(outputs: &[TensorSpec], class: &Class) -> Result<Option<usize>, String> {
        find(outputs, &ScoreOutput { name: None, class: Some(class) }).map(|(_, class)| class)
    }

    fn named(class: &str) -> Class {
        Class::Named(class.to_owned())
    }

    #[test]
    fn the_only_usable_output_is_the_score() {
        let label = output("label", ElementType::Int64, &[None]);
        let probabilities = float("probabilities", &[None, Some(2)]);
        assert_eq!(find(&[label, probabilities], &ScoreOutput::default()).unwrap(), ("probabilities".to_owned(), None));
        for element in [ElementType::Float64, ElementType::Float16] {
            let found = find(&[output("p", element, &[None, Some(1), Some(1)])], &ScoreOutput::default());
            assert_eq!(found.unwrap(), ("p".to_owned(), None));
        }
        let embedding = float("embedding", &[None, Some(64)]);
        let double = output("exact", ElementType::Float64, &[None]);
        let found = find(&[embedding, double, float("score", &[None])], &ScoreOutput::default());
        assert_eq!(found.unwrap().0, "score");
    }

    #[test]
    fn two_usable_outputs_need_a_choice() {
        let outputs = [float("click", &[None]), float("buy", &[None, Some(1)])];
        let of_name = |name| ScoreOutput { name: Some(name), class: None };
        assert_eq!(find(&outputs, &of_name("buy")).unwrap().0, "buy");
        let refused = find(&outputs, &ScoreOutput::default()).unwrap_err();
        insta::assert_snapshot!(refused, @"several outputs could be it: name one as output under [model]");
        insta::assert_snapshot!(find(&outputs, &of_name("cart")).unwrap_err(), @r#"there is no output "cart""#);
    }

    #[test]
    fn a_column_of_many_is_named_by_number_or_by_the_models_name_for_it() {
        let three = [output("label", ElementType::Text, &[None]), float("p", &[None, Some(3)])];
        assert_eq!(of_class(&three, &Class::At(2)), Ok(Some(2)));
        assert_eq!(of_class(&three, &named("dog")), Ok(Some(1)));
        assert_eq!(of_class(&[float("p", &[None, Some(2)])], &named("no")), Ok(Some(0)));
        assert_eq!(of_class(&[float("p", &[None, None])], &named("yes")), Ok(Some(1)));
        insta::assert_snapshot!(find(&three, &ScoreOutput::default()).unwrap_err(), @r#"output "p" has 3 columns: say which with class under [model], by its number from 0 to 2, or by its name: "cat", "dog", "eel""#);
        insta::assert_snapshot!(of_class(&three, &Class::At(3)).unwrap_err(), @r#"class = 3 under [model] is no column of output "p", which has 3: 0 to 2"#);
        insta::assert_snapshot!(of_class(&three, &named("no")).unwrap_err(), @r#"class = "no" under [model] is none of the model's classes: "cat", "dog", "eel""#);
        insta::assert_snapshot!(of_class(&[float("p", &[None, Some(9)])], &named("no")).unwrap_err(), @r#"class = "no" under [model] is a name, and the model names no classes of output "p": give the number of its column, from 0"#);
        insta::assert_snapshot!(of_class(&[float("p", &[None])], &Class::At(0)).unwrap_err(), @r#"class = 0 under [model] names one of several columns, output "p" has one: leave class out"#);
    }

    #[test]
    fn what_is_no_number_per_row_can_not_be_it() {
        let maps = TensorSpec { name: "maps".to_owned(), element: ElementType::Other("sequence"), dims: None };
        for refused in [maps, float("image", &[None, Some(3), Some(3)]), float("none", &[None, Some(0)])] {
            let wanted = ScoreOutput { name: Some(&refused.name), class: None };
            assert_eq!(
                find(std::slice::from_ref(&refused), &wanted),
                Err(format!("output {:?} can't be it{}", refused.name, without_maps(&refused)))
            );
            assert!(find(std::slice::from_ref(&refused), &ScoreOutput::default()).is_err());
        }
        let one = [float("one", &[Some(1), Some(1)]), output("label", ElementType::Int64, &[Some(1)])];
        let fixed = find(&one, &ScoreOutput::default()).unwrap_err();
        assert!(fixed.starts_with("output \"one\" has exactly 1 row(s), whatever goes in: "), "{fixed}");
    }
}
