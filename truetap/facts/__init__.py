"""What is static of a model and of a call of `fit`, as plain data: for rules, and for those who read a run later."""

from truetap.facts.types import Facts, FitFacts, LayerFacts, LossFacts, ModelFacts, OutputFacts, PhaseFacts

__all__ = ["Facts", "FitFacts", "LayerFacts", "LossFacts", "ModelFacts", "OutputFacts", "PhaseFacts"]
