"""Which judge a person asked for."""

from cmc.evaluation.judges.endpoint import EndpointJudge
from cmc.evaluation.judges.local import LocalJudge
from cmc.evaluation.judges.pairs import Judge
from cmc.evaluation.judges.reference import ReferenceJudge
from cmc.settings import JudgeSettings


def chosen_judge(settings: JudgeSettings) -> Judge:
    """Return the judge, with its gold answers read or its model loaded.

    Raises:
        CmcError: gold answers or model cannot be used.
    """
    if settings.judge == "endpoint":
        return EndpointJudge(settings)
    if settings.judge == "local":
        return LocalJudge(settings.judge_model)
    return ReferenceJudge(settings.gold)
