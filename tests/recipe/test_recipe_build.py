"""Recipe to pipeline and back."""

import pytest
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from ferkit import recipe
from ferkit.errors import RecipeError
from ferkit.features import HOG, FamilyUnion
from ferkit.model import LinearSVM, Stacking


def test_the_steps_and_their_settings():
    text = "features: {fine: {kind: hog, cell: [4, 8]}}\nmodel: {linear_svm: {C: 2}}\nfaces: {size: 64}"
    pipeline = recipe.build(recipe.loads(text))
    assert [name for name, _ in pipeline.steps] == ["faces", "features", "model"]
    assert pipeline.named_steps["faces"].size == 64
    assert isinstance(pipeline.named_steps["features"], FamilyUnion)
    params = pipeline.get_params()
    assert params["features__fine__cell"] == (4, 8)
    assert isinstance(params["features__fine"], HOG)
    assert params["model__C"] == 2


def test_nested_models():
    text = "features: {hog: {}, lbp: {}}\nmodel: {stacking: {bases: {hog: {linear_svm: {C: 2}}, lbp: passthrough}}}"
    model = recipe.build(recipe.loads(text)).named_steps["model"]
    assert isinstance(model, Stacking)
    assert isinstance(model.bases["hog"], LinearSVM)
    assert model.bases["hog"].C == 2
    assert model.bases["lbp"] == "passthrough"
    joined = recipe.build(recipe.loads("features: {hog: {}}\nmodel: {concatenation: {estimator: rbf_svm}}"))
    assert type(joined.named_steps["model"].estimator).__name__ == "RBFSVM"


def test_one_base_for_several_families():
    text = "features: {hog: {}, lbp: {}}\nmodel: {stacking: {bases: {hog+lbp: {concatenation: "
    text += "{estimator: {rbf_svm: {standardize: false}}}}}}}"
    text += "\nsearch: {params: {model.bases.hog+lbp.estimator.C: [1, 3]}}"
    found = recipe.loads(text)
    pipeline = recipe.build(found)
    assert list(pipeline[-1].bases) == ["hog+lbp"]
    assert recipe.loads(recipe.describe(pipeline)).model == found.model
    pipeline.set_params(**dict.fromkeys(found.search.params, 3))
    assert pipeline[-1].bases["hog+lbp"].estimator.C == 3


def test_the_seed_goes_where_the_recipe_gives_none():
    text = "seed: 7\nfeatures: {words: {}, other: {kind: words, seed: 2}}\nmodel: stacking"
    params = recipe.build(recipe.loads(text)).get_params()
    assert (params["features__words__seed"], params["features__other__seed"], params["model__seed"]) == (7, 2, 7)


def test_labels_go_to_fusions_which_may_read_logits_by_name():
    text = "features: {hog: {}, cnn: {output: logits}}\nmodel: {stacking: {bases: {cnn: passthrough, hog: rbf_svm}}}"
    assert recipe.build(recipe.loads(text))[-1].labels is None
    pipeline = recipe.build(recipe.loads(text, sets=["labels.happiness=positive", "labels.fear=drop"]))
    assert pipeline[-1].labels == {"happiness": "positive", "fear": None}


def test_a_network_reads_the_faces():
    pipeline = recipe.build(recipe.loads("model: {network: {epochs: 3}}"))
    assert pipeline.named_steps["features"] == "passthrough"
    assert pipeline.named_steps["model"].epochs == 3


@pytest.mark.parametrize("name", sorted(recipe.shipped()))
def test_a_description_builds_the_same_pipeline(name):
    pipeline = recipe.build(recipe.load(name))
    text = recipe.describe(pipeline)
    again = recipe.build(recipe.loads(text))
    assert recipe.describe(again) == text
    assert str(again) == str(pipeline)


def test_a_description_holds_what_was_set_later():
    pipeline = recipe.build(
        recipe.loads("features: {fine: {kind: hog}}\nmodel: {stacking: {bases: {fine: linear_svm}}}")
    )
    pipeline.set_params(model__fine__C=3.0, features__fine__cell=[4, 8], faces__size=64)
    found = recipe.loads(recipe.describe(pipeline))
    assert found.model.params["bases"]["fine"].params == {"C": 3.0}
    assert found.features["fine"] == recipe.Part("hog", {"cell": (4, 8)})
    assert found.faces == {"size": 64}


def test_a_class_that_recipes_do_not_know():
    pipeline = recipe.build(recipe.loads("features: {hog: {}}\nmodel: linear_svm"))
    with pytest.raises(RecipeError, match="Got a SVC, expected one of linear_svm"):
        recipe.describe(Pipeline([*pipeline.steps[:-1], ("model", SVC())]))
