//! What is refused by name rather than scored otherwise than in its library.

use serde_json::{Value, json};

use super::golden::all;
use crate::model::import::{ImportError, Library, Options, import};

/// A file of the golden ones, and how it is imported.
fn file(name: &str) -> (String, Options) {
    let golden = all().into_iter().find(|golden| golden.name == name).unwrap();
    (String::from_utf8(golden.bytes).unwrap(), golden.options)
}

fn refusal(bytes: &[u8], options: &Options) -> String {
    import(bytes, options).unwrap_err().to_string()
}

/// A LightGBM file with a line written anew.
fn lightgbm(from: &str, to: &str) -> String {
    let (text, options) = file("lightgbm-binary.txt");
    assert!(text.contains(from));
    refusal(text.replace(from, to).as_bytes(), &options)
}

/// An XGBoost or CatBoost file after a change.
fn changed(name: &str, change: impl Fn(&mut Value)) -> String {
    let (text, options) = file(name);
    let mut value = serde_json::from_str(&text).unwrap();
    change(&mut value);
    refusal(value.to_string().as_bytes(), &options)
}

#[test]
fn lightgbm_files_that_would_score_otherwise_are_refused() {
    insta::assert_snapshot!(
        lightgbm("is_linear=0", "is_linear=1"),
        @"tree 0, which has linear models in its leaves (linear_tree=true), can't be imported: ONNX has no such trees; train with linear_tree=false"
    );
    insta::assert_snapshot!(
        lightgbm("objective=binary sigmoid:1", "objective=survival"),
        @"objective=survival can't be imported: what it makes of the trees is not known here"
    );
    insta::assert_snapshot!(
        lightgbm("version=v4", "version=v2"),
        @r#"format "v2" of LightGBM's files can't be imported: load the file with LightGBM 4 and save it again"#
    );
    insta::assert_snapshot!(lightgbm("end of trees", "end of tree"), @r#"after 4 trees: there is no line "end of trees": the file is cut off"#);
    insta::assert_snapshot!(lightgbm("Tree=3", "shrinkage=1"), @"header: tree_sizes has 4 entries, the file has 3 trees");
    insta::assert_snapshot!(lightgbm("num_cat=0", "num_cat=2"), @"tree 0: there is no line cat_boundaries=");
    insta::assert_snapshot!(
        lightgbm("feature_names=price views", "feature_names=price"),
        @"header: feature_names has 3 entries, feature_infos 4, and max_feature_idx is 3"
    );
}

#[test]
fn categories_whose_feature_is_not_known_are_refused() {
    let (text, options) = file("lightgbm-categories-of-a-data-frame.txt");
    let more = text.replace("pandas_categorical:[", "pandas_categorical:[[\"a\"], ");
    insta::assert_snapshot!(
        refusal(more.as_bytes(), &options),
        @"pandas_categorical with 3 columns beside 2 of categories can't be imported: the file does not say which categories are whose: leave out columns that have one category, or make whole numbers of the categories before training and name them by categorical_feature"
    );
    let fewer = text.replace("[10, 20, 30, 40]", "[10, 20]");
    assert_ne!(fewer, text);
    insta::assert_snapshot!(
        refusal(fewer.as_bytes(), &options),
        @r#"pandas_categorical of "tens": it has 2 categories, feature_infos has code 3"#
    );
}

#[test]
fn xgboost_files_that_would_score_otherwise_are_refused() {
    let name = "xgboost-binary-logistic.json";
    let model = "/learner/gradient_booster/model";
    let set = |path: &str, value: Value| {
        let path = path.to_owned();
        changed(name, move |file| *file.pointer_mut(&path).unwrap() = value.clone())
    };
    insta::assert_snapshot!(
        set("/learner/gradient_booster/name", json!("gblinear")),
        @"booster gblinear can't be imported: the boosters of trees are gbtree and dart"
    );
    insta::assert_snapshot!(
        set("/learner/objective/name", json!("reg:new")),
        @"objective reg:new can't be imported: what it makes of the trees is not known here"
    );
    insta::assert_snapshot!(
        set(&format!("{model}/trees/2/tree_param/size_leaf_vector"), json!("2")),
        @r#"learner.gradient_booster.model.trees[2], whose leaves hold several numbers (multi_strategy="multi_output_tree"), can't be imported: train with multi_strategy="one_output_per_tree""#
    );
    insta::assert_snapshot!(
        set("/version", json!([4, 0, 0])),
        @"a file of XGBoost 4.0.0 can't be imported: files of versions 1 to 3 are known: load it with one of these and save it again"
    );
    insta::assert_snapshot!(
        set("/learner/learner_model_param/base_score", json!("[1.5E0]")),
        @"learner.learner_model_param.base_score: 1.5 is no prediction of binary:logistic"
    );
    insta::assert_snapshot!(
        set(&format!("{model}/trees/1/left_children/0"), json!(99)),
        @"learner.gradient_booster.model.trees[1]: there is no node 99, the tree has 15"
    );
}

/// XGBoost 3.2 counts letters where it should count bytes.
#[test]
fn category_names_that_xgboost_has_damaged_are_refused() {
    let said = changed("xgboost-categories-of-a-data-frame.json", |file| {
        *file.pointer_mut("/learner/gradient_booster/model/cats/enc/4/values/1").unwrap() = json!(-61);
    });
    insta::assert_snapshot!(said, @r#"feature "shop", whose categories have other letters than those of ASCII, can't be imported: XGBoost damages such names when it writes them: give these categories other names before training"#);
}

/// XGBClassifier predicts with the rounds up to the best one, Booster.predict with all: the file does not say by which it is used.
#[test]
fn training_that_stopped_early_asks_how_many_rounds_count() {
    let (text, options) = file("xgboost-early-stopping.json");
    let best = options.rounds.unwrap();
    let Err(ImportError::Rounds { rounds, best: found }) = import(text.as_bytes(), &Options::default()) else {
        panic!("not refused")
    };
    assert_eq!(found, best);
    for wanted in [best, rounds] {
        let options = Options { rounds: Some(wanted), ..Options::default() };
        assert_eq!(import(text.as_bytes(), &options).unwrap().about.rounds, wanted);
    }
    for wanted in [0, rounds + 1] {
        let options = Options { rounds: Some(wanted), ..Options::default() };
        assert!(matches!(import(text.as_bytes(), &options), Err(ImportError::NoSuchRounds { .. })));
    }
}

#[test]
fn catboost_files_that_would_score_otherwise_are_refused() {
    let name = "catboost-categories-one-by-one.json";
    let without_pool =
        changed(name, |file| *file.pointer_mut("/features_info/cat_features_hash").unwrap() = Value::Null);
    insta::assert_snapshot!(
        without_pool,
        @r#"categorical feature "tens", of which the file has the hashes of values alone, can't be imported: save the model with its training data: model.save_model("model.json", format="json", pool=pool)"#
    );
    let statistics = changed(name, |file| {
        file["features_info"]["ctrs"] = json!([{ "ctr_type": "Borders" }]);
    });
    insta::assert_snapshot!(
        statistics,
        @"a CatBoost model with statistics of categorical features (CTR) can't be imported: train with one_hot_max_size above the number of categories of each, and save the model with pool=, or encode categories as numbers before training"
    );
    let uncertain = changed(name, |file| {
        *file.pointer_mut("/model_info/params/loss_function/type").unwrap() = json!("RMSEWithUncertainty");
    });
    insta::assert_snapshot!(
        uncertain,
        @"loss function RMSEWithUncertainty can't be imported: what it makes of the trees is not known here"
    );
}

#[test]
fn names_that_a_file_can_t_have_are_refused_with_the_option_that_gives_others() {
    let (text, _) = file("xgboost-binary-logistic.json");
    let named = |columns: &[&str]| {
        let columns = Some(columns.iter().map(|&name| name.to_owned()).collect());
        import(text.as_bytes(), &Options { columns, ..Options::default() })
    };
    insta::assert_snapshot!(
        named(&["a", "b"]).unwrap_err(),
        @"--columns has 2 names, the model has 4 features: give each feature a name, in the order of training, by --columns a,b,c"
    );
    insta::assert_snapshot!(
        named(&["a", "b", "a", "c"]).unwrap_err(),
        @r#"two features are called "a": give each feature a name, in the order of training, by --columns a,b,c"#
    );
    insta::assert_snapshot!(
        named(&["a", "score", "b", "c"]).unwrap_err(),
        @r#"a feature is called "score", a name that the file needs for itself: give each feature a name, in the order of training, by --columns a,b,c"#
    );
    let about = named(&["a", "features", "b", "c"]).unwrap().about;
    assert_eq!(about.features.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["a", "features", "b", "c"]);
}

#[test]
fn what_is_no_model_file_is_told_for_what_it_is() {
    let options = Options::default();
    insta::assert_snapshot!(
        refusal(b"\x80\x04\x95", &options),
        @r#"it is no model file that is read here: it is a Python pickle, which runs code when it is read. LightGBM writes one by booster.save_model("model.txt"), XGBoost by booster.save_model("model.json"), CatBoost by model.save_model("model.json", format="json")"#
    );
    for (bytes, found) in [
        (&b"CBM1\xff\xfe"[..], "it is CatBoost's own binary form"),
        (b"binf\xff", "it is XGBoost's old binary form"),
        (b"PK\x03\x04\xff", "it is a ZIP file"),
        (b"hello", "it is a text that is neither LightGBM's nor JSON"),
        (b"{\"a\": 1}", "it is JSON without the"),
        (b"{\"tree_info\": [], \"pandas_categorical\": []}", "it is LightGBM's dump_model()"),
    ] {
        let said = refusal(bytes, &options);
        assert!(said.contains(found), "{said}");
    }
    let (text, options) = file("lightgbm-binary.txt");
    let options = Options { library: Some(Library::XgBoost), ..options };
    insta::assert_snapshot!(refusal(text.as_bytes(), &options), @"the file: it is a file of LightGBM, not of XGBoost: leave --from out");
}
