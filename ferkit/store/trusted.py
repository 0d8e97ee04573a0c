"""The types that a model file may hold. Anything else is refused by name."""

from __future__ import annotations

LOADERS = (
    "BytesNode",
    "DTypeNode",
    "DictNode",
    "JsonNode",
    "ListNode",
    "NdArrayNode",
    "ObjectNode",
    "RandomStateNode",
    "SetNode",
    "SliceNode",
    "SparseMatrixNode",
    "TupleNode",
    "TypeNode",
)
"""Ways in which skops may keep an object: data only, no functions, methods or constructor calls."""

PLAIN = {f"builtins.{name}" for name in "bool bytes dict float int list set slice str tuple".split()}  # noqa: SIM905

NUMPY = {
    f"numpy.{name}"
    for name in (
        "bool",
        "bool_",
        "dtype",
        "float16",
        "float32",
        "float64",
        "int8",
        "int16",
        "int32",
        "int64",
        "ndarray",
        "str_",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
    )
} | {
    "numpy.random.mtrand.RandomState",
    "scipy.sparse._csr.csr_array",
    "scipy.sparse._csr.csr_matrix",
}

FERKIT = {
    "ferkit.augment.augment.Augment",
    "ferkit.faces.extract.FaceExtractor",
    "ferkit.features.fisher.FisherVectors",
    "ferkit.features.geometry.Geometry",
    "ferkit.features.hog.HOG",
    "ferkit.features.lbp.LBP",
    "ferkit.features.network.NetworkFeatures",
    "ferkit.features.union.FamilyUnion",
    "ferkit.features.words.VisualWords",
    "ferkit.model.concatenation.Concatenation",
    "ferkit.model.fusion.FusionHead",
    "ferkit.model.fusion.LinearFusion",
    "ferkit.model.kernel.Machine",
    "ferkit.model.kernel.RBFSVM",
    "ferkit.model.linear.LinearSVM",
    "ferkit.model.local.LocalSVM",
    "ferkit.model.solver.Solution",
    "ferkit.model.stacking.Stacking",
    "ferkit.model.voting.Voting",
    "ferkit.nets.classifier.NetworkClassifier",
}

SKLEARN = {
    f"sklearn.{name}"
    for name in (
        "decomposition._pca.PCA",
        "decomposition._truncated_svd.TruncatedSVD",
        "discriminant_analysis.LinearDiscriminantAnalysis",
        "frozen._frozen.FrozenEstimator",
        "kernel_approximation.Nystroem",
        "linear_model._logistic.LogisticRegression",
        "linear_model._ridge.RidgeClassifier",
        "linear_model._stochastic_gradient.SGDClassifier",
        "multiclass.OneVsRestClassifier",
        "naive_bayes.GaussianNB",
        "neighbors._classification.KNeighborsClassifier",
        "neural_network._multilayer_perceptron.MLPClassifier",
        "pipeline.FeatureUnion",
        "pipeline.Pipeline",
        "preprocessing._data.MaxAbsScaler",
        "preprocessing._data.MinMaxScaler",
        "preprocessing._data.Normalizer",
        "preprocessing._data.PowerTransformer",
        "preprocessing._data.StandardScaler",
        "preprocessing._label.LabelBinarizer",
        "preprocessing._label.LabelEncoder",
        "svm._classes.LinearSVC",
        "svm._classes.SVC",
        "utils._bunch.Bunch",
        "calibration.CalibratedClassifierCV",
    )
}

PRIVATE = {
    f"sklearn.{name}"
    for name in (
        "calibration._CalibratedClassifier",
        "calibration._SigmoidCalibration",
        "calibration._TemperatureScaling",
    )
}
"""Parts of scikit-learn without a promise to stay as they are."""

TRUSTED = frozenset(PLAIN | NUMPY | FERKIT | SKLEARN | PRIVATE)
