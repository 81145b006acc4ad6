"""Which judge a person asked for."""

from collections.abc import Sequence

from cmc.data import Record, read_records
from cmc.evaluation.judges.endpoint import EndpointJudge
from cmc.evaluation.judges.local import LocalJudge
from cmc.evaluation.judges.pairs import Judge
from cmc.evaluation.judges.reference import ReferenceJudge
from cmc.settings import JudgeSettings


def chosen_judge(settings: JudgeSettings, records: Sequence[Record], source: str) -> Judge:
    """Return the judge, with its right answers read or its model loaded.

    Args:
        settings: who judges.
        records: the questions, whose own answers are the right ones where `gold` names no others.
        source: where the records come from.

    Raises:
        CmcError: right answers or model cannot be used.
    """
    if settings.judge == "endpoint":
        return EndpointJudge(settings)
    if settings.judge == "local":
        return LocalJudge(settings.judge_model)
    if settings.gold:
        return ReferenceJudge(read_records(settings.gold), settings.gold)
    return ReferenceJudge(records, source)
