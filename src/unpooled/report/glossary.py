"""What the words on the page mean."""

from __future__ import annotations

TRAINING_TERMS = {
    "site": "Where data lives and stays: a hospital, a ward, a device. A site trains on its own rows only.",
    "row": "One record of data, such as one patient or one image.",
    "model": "The numbers that training adjusts (parameters). Models travel, rows do not.",
    "local step": "One update of a site's model on a batch of that site's rows.",
    "event": "A moment at which models are exchanged: each site sends its model and continues from another.",
    "combined model (aggregate)": "One model made of all sites' models, most often their average.",
    "sites' own models": "What the sites hold after their last step: the mean result, and that of the worst.",
    "FedAvg(b)": "Federated averaging: every b local steps all sites go on from the average of their models.",
    "FedDC(d, b)": "Daisy-chaining: every d local steps the models change places at random, every b "
    "steps they are averaged.",
    "sealed hop": "A model on its way to the next site, encrypted so that only that site can read it.",
    "secure sum": "Models averaged under random masks that cancel: the coordinator sees their sum and no single one.",
    "Local": "Every site trains alone and nothing is exchanged.",
    "Pooled": "All rows in one place. Simulation only: it shows what sharing the raw data would have given.",
    "seed": "The number that all chance in a run is drawn from. Several seeds show how much chance matters.",
    "95 % interval": "Mean ± half width by Student's t over seeds. With few seeds it is wide.",
    "no clear difference": "The interval of the seed-by-seed difference includes 0: these runs do not tell "
    "which is better.",
    "paired test": "Two methods are compared under each seed, where both saw the same rows and draws; the test asks "
    "whether chance alone explains the differences.",
    "p (Holm)": "How often chance alone would give such differences, raised because many methods are compared at "
    "once. Below 0.05 a difference is called clear.",
    "validation row": "A training row that is held back while a setting is chosen. Test rows are never used for that.",
    "learning rate": "How far a model moves in one local step.",
    "balanced accuracy": "The share recognised in each class, averaged over classes, so that a rare class "
    "counts as much as a frequent one.",
    "message": "One question to a site or one answer from it.",
    "bytes": "Counted at the site's door: questions are received, answers are sent. 1 kB is 1000 bytes.",
    "ledger": "A site's own list of everything it has sent; each line holds the hash of the one before it.",
}

STREAM_TERMS = {
    "learner": "A model that sees its own stream of examples, one after the other, and learns from each.",
    "round": "Every learner predicts, suffers the loss of its prediction, and learns; then models may be exchanged.",
    "cumulative loss": "The losses of all learners so far, added up; each is suffered before the example is learned.",
    "mistake": "A wrong prediction; a score of 0 is wrong.",
    "model transfer": "One model sent by a learner or to a learner. A first distribution does not count.",
    "drift": "A moment at which what is to be learned changes.",
    "partial and full exchange": "An exchange that reaches some of the learners, or all.",
    "Local": "Every learner learns alone and nothing is exchanged.",
    "Serial": "One learner that sees the examples of all. It moves examples, not models.",
    "FedAvg(b)": TRAINING_TERMS["FedAvg(b)"].replace("local steps all sites", "rounds all learners"),
    "DynamicAveraging(t)": "Models are averaged only where one has moved further than the threshold t from the last "
    "common one.",
    "nobody beats it in both": "No other method has less loss with no more transfers, or fewer transfers with no more "
    "loss.",
    "seed": TRAINING_TERMS["seed"],
    "95 % interval": TRAINING_TERMS["95 % interval"],
    "bytes": "All that passed between learners and coordinator, in both directions. 1 kB is 1000 bytes.",
}

CONNECTIVITY_TERMS = {
    "layer": "What one module of a model owns: weight and bias move together. Tied weights are one layer.",
    "barrier": "How much worse a mixed model is than its reference; unless said otherwise half-way, against the mean "
    "of the two full models.",
    "default model": "The model whose other layers stay while one layer is mixed. There are two, so two barriers.",
    "cut": "The line from one model's layer to the other's, all else at the default model.",
    "swapped layer": "The far end of a cut: the default model with the other's layer.",
    "relative distance": "The Euclidean distance of two layers over the norm of the first's. A layer that differs "
    "little has a small barrier for that reason alone.",
    "standard error": "How much a barrier would vary with other samples; all models see the same ones.",
    "seed": "The number that all chance in a run is drawn from.",
}

STUDY_TERMS = {
    "class": "All DAGs that no data of one law can tell apart; drawn with lines where they disagree about a direction.",
    "SHD": "Structural Hamming distance: pairs of nodes with another edge, each counted once.",
    "F1": "Harmonic mean of precision (of what was guessed, how much is true) and recall (of what is true, how much "
    "was guessed).",
    "target": "A variable whose mechanism is another one at a site.",
    "cell": "One method on one data set.",
}

CAUSAL_TERMS = {
    "arrow": "The direction is known: all graphs that the data cannot tell apart share it, or background knowledge or "
    "unlike sites decide it.",
    "line": "There is an edge, and the data leave its direction open.",
    "support": "The share of repetitions, on rows or sites drawn anew, in which the edge was found. It is no "
    "probability that the edge is causal.",
    "gain": "How much better the lower end is explained at a site with this edge than without it, in the score's unit. "
    "Below 0 the edge does not pay there.",
    "nat, bit": "Units of information: 1 bit is 0.693 nats. A gain of 7 nats makes the data 1000 times likelier.",
    "mechanism": "How a variable comes about from those that point to it.",
    "mechanism differs": "Sites were grouped by equal mechanisms, and this site is outside the reference group (that "
    "of the reference site, else the largest).",
    "regret": "How much less a site's rows are explained by a graph than by the best one that it finds itself.",
    "bytes": "Counted at the site's door, answers only. 1 kB is 1000 bytes; a number takes 8.",
}
