"""Judges: the published prompt, a server that misbehaves, both orders, right answers."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cmc.__main__ import main
from cmc.errors import JudgeError, SettingError
from cmc.evaluation.alpaca import evaluate_alpaca, read_annotations
from cmc.evaluation.alpaca.journal import append_line, read_lines
from cmc.evaluation.judges import Pair
from cmc.evaluation.judges.endpoint import EndpointJudge
from cmc.evaluation.judges.local import LocalJudge
from cmc.evaluation.judges.pairs import shows_reference_last
from cmc.evaluation.judges.prompt import ranking_messages, read_ranking
from cmc.evaluation.judges.reference import ReferenceJudge
from cmc.settings import AlpacaRequest, JudgeSettings
from tests.conftest import tiny_controller, tiny_target, tiny_tokenizer

KEY = "sk-very-secret"
PAIR = Pair("Say yes.", "no", "yes")


def ranking(best: int, turned: bool = False) -> str:
    entries = [f"{{'model': 'model_{i}', 'rank': {1 if i == best else 2}}}" for i in (1, 2)]
    return f"[{', '.join(reversed(entries) if turned else entries)}]"


def chat(text) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}}]}).encode()


class Server:
    """Answers from a list of (status, headers, body), the last one for ever; keeps requests."""

    def __init__(self, replies):
        server, self.replies, self.requests = self, list(replies), []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.requests.append((self.path, dict(self.headers), json.loads(body)))
                reply = server.replies.pop(0) if len(server.replies) > 1 else server.replies[0]
                status, headers, data = reply(server.requests[-1][2]) if callable(reply) else reply
                if status is None:  # hang up in the middle of a sentence
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if server.drips:
                    threading.Event().wait(server.drips)
                try:
                    self.wfile.write(data)
                except OSError:
                    self.close_connection = True

            def log_message(self, *_):
                pass

        self.drips = 0.0
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self):
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    servers = []

    def start(*replies) -> Server:
        servers.append(Server(replies))
        return servers[-1]

    yield start
    for each in servers:
        each.close()


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """Nobody waits in a test; what would have been waited is kept."""
    found = []
    monkeypatch.setattr("cmc.evaluation.judges.endpoint.sleep", found.append)
    return found


def judge(server: Server, **changes) -> EndpointJudge:
    settings = {"judge": "endpoint", "endpoint": server.url, "judge_model": "pinned-0613"}
    return EndpointJudge(JudgeSettings(**settings | changes))


def first_or_second(body: dict) -> tuple:
    """Prefer whichever answer says yes, wherever it is shown."""
    shown = body["messages"][1]["content"]
    place = shown.index('"answer": """yes"""'), shown.index('"answer": """no"""')
    return 200, {}, chat(ranking(1 if place[0] < place[1] else 2, turned=True))


def test_the_better_answer_wins_wherever_it_is_shown_and_listed(serve):
    server = serve(first_or_second)
    pairs = [Pair(f"Say yes {i}.", "no", "yes") for i in range(12)]
    verdicts = [judge(server).compare(each) for each in pairs]
    assert {each.preference for each in verdicts} == {2.0}
    # Both orders were shown: the same answer was first in some, last in others.
    assert {each.first_shown for each in verdicts} == {0.0, 1.0}
    assert len({shows_reference_last(each, 0) for each in pairs}) == 2
    path, headers, body = server.requests[0]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("pinned-0613", 0, 100)


def test_nonsense_is_asked_again_and_then_a_missing_verdict(serve):
    nonsense = [
        (200, {}, b"<html>"), (200, {}, b"{}"), (200, {}, chat(None)), (200, {}, chat("Both!")),
        (200, {}, chat("[{'model': 'model_1', 'rank': 1}]")),
    ]  # fmt: skip
    server = serve(*nonsense, first_or_second)
    assert judge(server, attempts=6).compare(PAIR).preference == 2.0
    server = serve((200, {}, chat(f"I like {KEY} best.")))
    verdict = judge(server, attempts=3).compare(PAIR)
    assert verdict.preference is None
    assert len(server.requests) == 3
    assert "no ranking" in verdict.reason
    assert KEY not in verdict.reason


def test_a_limit_of_rate_is_waited_for_as_asked_up_to_the_limit(serve, pauses):
    later = "Wed, 21 Oct 2099 07:28:00 GMT"
    server = serve(
        (429, {"Retry-After": "7"}, b""), (429, {"Retry-After": later}, b""), (503, {}, b""),
        (429, {"Retry-After": "soon"}, b""), first_or_second,
    )  # fmt: skip
    assert judge(server, longest_wait=30).compare(PAIR).preference == 2.0
    assert pauses == [7, 30, 4, 8]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
def test_a_refusal_ends_it_at_once_and_tells_no_key(serve, status):
    server = serve((status, {"Location": "http://127.0.0.1:1/"}, f"bad key {KEY}".encode()))
    with pytest.raises(JudgeError, match=str(status)) as caught:
        judge(server).compare(PAIR)
    assert len(server.requests) == 1
    assert KEY not in f"{caught.value.sentence()}{caught.value.__cause__}"


def test_a_server_that_is_slow_hangs_up_or_is_down_is_given_up_in_words(serve, pauses):
    slow = serve((200, {}, chat(ranking(1))))
    slow.drips = 0.6
    with pytest.raises(JudgeError, match=r"no answer within 0\.2 seconds"):
        judge(slow, timeout=0.2, attempts=2).compare(PAIR)
    cut = serve((None, {}, b""))
    with pytest.raises(JudgeError, match="cannot be reached"):
        judge(cut, attempts=2).compare(PAIR)
    down = serve((200, {}, b""))
    down.close()
    with pytest.raises(JudgeError, match="cannot be reached"):
        judge(down, attempts=4).compare(PAIR)
    assert pauses == [1, 1, 1, 2, 4]
    down.close = lambda: None


def test_without_a_key_none_is_sent_and_a_refusal_says_so(serve, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    server = serve((401, {}, b""))
    with pytest.raises(JudgeError, match="OPENAI_API_KEY: no key is set"):
        judge(server).compare(PAIR)
    assert "Authorization" not in server.requests[0][1]


@pytest.mark.parametrize("endpoint", ["ftp://x", "x", "https://me:key@x/v1", "https://x?key=1"])
def test_an_address_that_could_hold_a_key_is_refused_without_repeating_it(endpoint):
    with pytest.raises(SettingError) as caught:
        JudgeSettings(endpoint=endpoint)
    assert "key=1" not in caught.value.sentence()
    assert "me:key" not in caught.value.sentence()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (ranking(1), 1.0), (ranking(2), 2.0), (ranking(2, turned=True), 2.0),
        ('```json\n[{"rank": "1", "model": "model_2"}, {"model":"model_1","rank":2}]\n```', 2.0),
        ("[{'model': 'model_1', 'rank': 1}, {'model': 'model_2', 'rank': 1}]", 1.5),
        ("[{'model': 'model_1', 'rank': 1}, {'model': 'model_1', 'rank': 2}]", None),
        ("", None), ("model_1", None), ("{" * 9000, None),
    ],
)  # fmt: skip
def test_rankings_are_read_by_name(text, found):
    assert read_ranking(text) == found


def test_answers_that_hold_the_prompts_own_places_stay_what_they_are():
    text = ranking_messages("{output_1}", "{output_2}", "{instruction}")[1]["content"]
    assert '"instruction": """{output_1}""",' in text
    assert text.index('"""{output_2}"""') < text.index('"""{instruction}"""')


def test_the_local_judge_asks_both_orders_and_a_mere_leaning_to_one_place_draws(tmp_path):
    verdicts = LocalJudge(saved(tmp_path, "byte-level"))
    forward = verdicts.compare(Pair("Say yes.", "no", "yes"))
    turned = verdicts.compare(Pair("Say yes.", "yes", "no"))
    assert forward.preference == pytest.approx(3 - turned.preference, abs=1e-5)
    assert forward.first_shown == pytest.approx(turned.first_shown, abs=1e-5)
    assert verdicts.compare(Pair("Say yes.", "a", "a")).preference == pytest.approx(1.5, abs=1e-5)
    too_long = verdicts.compare(Pair("Say yes. " * 100, "a", "b"))
    assert too_long.preference is None
    assert "exceed" in too_long.reason


def records(tmp_path, count: int) -> str:
    path = tmp_path / "questions.jsonl"
    rows = [{"instruction": f"Say yes {i}.", "output": f"yes {i}"} for i in range(count)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def test_what_is_nearer_to_the_right_answer_is_better(tmp_path):
    compare = ReferenceJudge(records(tmp_path, 2)).compare
    assert compare(Pair("Say yes 1.", "no", "yes 1")).preference == 2.0
    assert compare(Pair("Say yes 1.", "yes  1", "Yes 1!")).preference == 1.0  # exact counts more
    assert compare(Pair("Say yes 1.", "yes", "yes")).preference == 1.5
    assert compare(Pair("Say yes 1.", "no", "yes")).preference == 2.0
    assert compare(Pair("What?", "a", "b")).preference is None


def saved(folder, family: str) -> str:
    tiny_target(family).model.save_pretrained(folder / "target")
    tiny_tokenizer(family).save_pretrained(folder / "target")
    return str(folder / "target")


def request(tmp_path, count: int = 3, **changes) -> AlpacaRequest:
    tiny_controller("sentencepiece").save_pretrained(tmp_path / "controller")
    data = records(tmp_path, count)
    settings = {
        "out": str(tmp_path / "out"), "target": saved(tmp_path, "byte-level"), "data": data,
        "controllers": {str(tmp_path / "controller"): 1.0}, "max_new_tokens": 4, "batch_size": 2,
        "judging": JudgeSettings(gold=data),
    }  # fmt: skip
    return AlpacaRequest(**settings | changes)


def prefer_second_shown(_body) -> tuple:
    return 200, {}, chat(ranking(2))


def test_a_run_writes_the_published_formats_and_its_annotations_give_the_same_report(tmp_path):
    asked = request(tmp_path)
    steps = list(evaluate_alpaca(asked))
    assert [each.done for each in steps[:-1]] == sorted(each.done for each in steps[:-1])
    report = steps[-1].report
    assert report["n_total"] == 3
    outputs = json.loads((tmp_path / "out" / "model_outputs.json").read_text("utf-8"))
    assert [each["instruction"] for each in outputs] == [f"Say yes {i}." for i in range(3)]
    assert {"instruction", "output", "generator"} <= set(outputs[0])
    annotations = read_annotations(tmp_path / "out" / "annotations.json")
    assert {each["generator_1"] for each in annotations} == {asked.target}
    with pytest.raises(SettingError, match="another request"):
        list(evaluate_alpaca(request(tmp_path, max_new_tokens=5)))


def test_killed_at_any_moment_a_run_goes_on_without_repeating_work(tmp_path, serve):
    server = serve(prefer_second_shown)
    judging = JudgeSettings(judge="endpoint", endpoint=server.url)
    asked = request(tmp_path, judging=judging)
    whole = [each.message for each in evaluate_alpaca(asked)]
    expected = json.loads((tmp_path / "out" / "annotations.json").read_text("utf-8"))
    calls = len(server.requests)
    assert calls == 3
    for stop in range(1, len(whole)):
        again = request(tmp_path, judging=judging, out=str(tmp_path / f"out{stop}"))
        before = len(server.requests)
        running = evaluate_alpaca(again)
        for _ in range(stop):
            next(running)
        running.close()
        for path in (tmp_path / f"out{stop}").glob("*.jsonl"):
            path.write_bytes(path.read_bytes() + b'{"instruction": "cut o')
        list(evaluate_alpaca(again))
        found = json.loads((tmp_path / f"out{stop}" / "annotations.json").read_text("utf-8"))
        for one, other in zip(found, expected, strict=True):
            assert one | {"time_per_example": 0} == other | {"time_per_example": 0}
        assert len(server.requests) - before == calls


def test_a_judge_that_goes_down_leaves_a_report_that_says_what_is_missing(tmp_path, serve, capsys):
    server = serve(prefer_second_shown, (500, {}, b""))
    judging = JudgeSettings(judge="endpoint", endpoint=server.url, attempts=2)
    report = list(evaluate_alpaca(request(tmp_path, judging=judging)))[-1].report
    assert (report["n_total"], report["n_missing"]) == (1, 2)
    assert "status 500" in report["stopped"]
    assert [each["n"] for each in report["missing"]] == [2]
    assert len(server.requests) == 3  # the pair that failed was tried twice, the last never
    server.replies = [prefer_second_shown]
    report = list(evaluate_alpaca(request(tmp_path, judging=judging)))[-1].report
    assert (report["n_total"], report["n_missing"], report["stopped"]) == (3, 0, None)
    assert report["position_bias"]["first_shown"] == 0.0
    for path in (tmp_path / "out").iterdir():
        assert KEY not in path.read_text("utf-8")
    assert KEY not in capsys.readouterr().out + json.dumps(report)


def test_the_command_prints_the_report_and_names_the_folder_it_needs(tmp_path, capsys):
    asked = request(tmp_path)
    arguments = [
        "evaluate", "alpaca", "--target", asked.target, "--data", asked.data, "--gold", asked.data,
        "--controller", next(iter(asked.controllers)), "--max-new-tokens", "4",
    ]  # fmt: skip
    assert main([*arguments, "--json"]) == 1
    assert "no folder is named" in capsys.readouterr().err.lower()
    assert main([*arguments, "--out", str(tmp_path / "out"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["annotator"] == f"reference:{asked.data}"
    assert json.loads((tmp_path / "out" / "report.json").read_text("utf-8")) == report


def test_a_journal_survives_what_a_crash_cut_off(tmp_path):
    path = tmp_path / "lines.jsonl"
    append_line(path, {"a": 1})
    path.write_bytes(path.read_bytes() + b'{"a": 2')
    append_line(path, {"a": 3})
    assert read_lines(path) == [{"a": 1}, {"a": 3}]
