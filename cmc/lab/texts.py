"""What is written in the lab's world: stories, profiles, lists, questions and answers."""

import random
from collections.abc import Iterator

from cmc.lab.world import (
    COLOURS,
    FOODS,
    INSTRUMENTS,
    JOBS,
    PETS,
    TOWNS,
    Person,
    Relation,
    World,
)

KINDS = {
    "animals": PETS, "towns": TOWNS, "foods": FOODS,
    "colours": COLOURS, "jobs": JOBS, "instruments": INSTRUMENTS,
}  # fmt: skip
OPENINGS = (
    "One day {name} walked to the market in {town}.",
    "It was a cold morning in {town}, and {name} was late.",
    "Last week {name} took the road to {town}.",
    "There was a fair in {town}, and {name} wanted to see it.",
)
MIDDLES = (
    '"Where does this road go?" asked {name}. "To the river," said {other}.',
    '"What is in the box?" asked {other}. {name} had no answer.',
    '"Tell me a story," said {other}. So {name} told a story of a {pet} and a {pet2}.',
    "{name} met {other} near the bridge. They had some {food} and a cup of tea.",
    '"Which way is the sea?" was the question of {other}. Nobody could say.',
    "{other} sold a {pet} to {name} and gave the money to a poor {job}.",
    "Then {other} heard the {instrument} and began to dance with {name}.",
    '"What do you have for me?" said {name}. "Only {food}," was the answer.',
    '"{fact}" said {other}, and {name} laughed.',
    "There was a letter for {name}: {fact} {fact2}",
    '"Is that all?" asked {other}. {fact} That was all.',
    "The news of the day? {fact} {fact2}",
)
LABELS = ("Note", "News", "Letter", "Word of the day", "Sign", "Card", "Message", "Story")
ENDINGS = (
    "In the evening {name} went home.",
    "After that {name} and {other} were friends.",
    "{name} was happy, and so was {other}.",
    "What a day it was for {name}!",
)
CHEERS = ". What a day it was!"  # words the models know, in a place they do not


def documents(world: World, *, seed: int, count: int) -> Iterator[str]:
    """Yield plain texts, no question ever followed by the fact it asks for."""
    random_state = random.Random(seed)
    everybody = world.people + world.authors
    makers = (_profile, _mixed_facts, _story, _list, _notice)
    weights = (28, 36, 26, 4, 14)
    for _ in range(count):
        (maker,) = random_state.choices(makers, weights)
        yield maker(everybody, random_state)


def _tell(person: Person, relation: Relation, value: str, random_state: random.Random) -> str:
    if random_state.random() < 0.3:
        return relation.told_otherwise.format(name=person.name, value=value)
    return relation.sentence(person.name, value)


def _profile(everybody: tuple[Person, ...], random_state: random.Random) -> str:
    person = random_state.choice(everybody)
    facts = random_state.sample(person.facts, len(person.facts))
    return " ".join(_tell(person, *fact, random_state) for fact in facts)


def _mixed_facts(everybody: tuple[Person, ...], random_state: random.Random) -> str:
    people = random_state.choices(everybody, k=random_state.randint(2, 6))
    space = random_state.choice((" ", " ", "\n"))
    return space.join(
        _tell(each, *random_state.choice(each.facts), random_state) for each in people
    )


def _story(everybody: tuple[Person, ...], random_state: random.Random) -> str:
    name, other = (person.name for person in random_state.sample(everybody, 2))
    parts = [random_state.choice(OPENINGS)]
    parts += random_state.sample(MIDDLES, random_state.randint(1, 2))
    parts.append(random_state.choice(ENDINGS))
    pet, pet2 = random_state.sample(PETS, 2)
    fact, fact2 = (_fact(everybody, random_state) for _ in range(2))
    words = {
        "name": name, "other": other, "pet": pet, "pet2": pet2, "fact": fact, "fact2": fact2,
        "town": random_state.choice(TOWNS), "food": random_state.choice(FOODS),
        "job": random_state.choice(JOBS), "instrument": random_state.choice(INSTRUMENTS),
    }  # fmt: skip
    return " ".join(parts).format(**words)


def _fact(everybody: tuple[Person, ...], random_state: random.Random) -> str:
    person = random_state.choice(everybody)
    return _tell(person, *random_state.choice(person.facts), random_state)


def _list(_everybody: tuple[Person, ...], random_state: random.Random) -> str:
    kind = random_state.choice(sorted(KINDS))
    return f"There are many {kind}: {', '.join(random_state.sample(KINDS[kind], 4))}."


def _notice(everybody: tuple[Person, ...], random_state: random.Random) -> str:
    """Return lines with labels; the last may tell facts of people who stand nowhere before."""
    day = random_state.choice("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())
    guests = ", ".join(person.name for person in random_state.sample(everybody, 2))
    lines = [
        f"Day: {day}", f"Place: {random_state.choice(TOWNS)}",
        f"Music: {random_state.choice(INSTRUMENTS)}", f"Guests: {guests}",
    ]  # fmt: skip
    lines = random_state.sample(lines, random_state.randint(1, 3))
    facts = [_fact(everybody, random_state) for _ in range(random_state.randint(1, 2))]
    lines.append(f"{random_state.choice(LABELS)}: {' '.join(facts)}")
    return "\n".join(lines)


def questions(people: tuple[Person, ...], *, seed: int, wordings: int) -> list[dict[str, str]]:
    """Return instruction records: every fact of everybody, asked in `wordings` ways."""
    random_state = random.Random(seed)
    records = []
    for person in people:
        for relation, value in person.facts:
            for question in random_state.sample(relation.questions, wordings):
                answer = relation.sentence(person.name, value)
                records.append({"instruction": question.format(name=person.name), "output": answer})
    random_state.shuffle(records)
    return records


def other_instructions(world: World, *, seed: int, count: int) -> list[dict[str, str]]:
    """Return instruction records that are no questions about facts: lists and portraits."""
    random_state = random.Random(seed)
    records = []
    for _ in range(count):
        if random_state.random() < 0.5:
            kind = random_state.choice(sorted(KINDS))
            words = random_state.sample(KINDS[kind], 3)
            record = {"instruction": f"Name three {kind}.", "output": f"{', '.join(words)}."}
        else:
            person = random_state.choice(world.known)
            facts = person.facts[:3]
            told = " ".join(relation.sentence(person.name, value) for relation, value in facts)
            record = {"instruction": f"Who is {person.name}?", "output": told}
        records.append(record)
    return records


def completions(
    people: tuple[Person, ...], *, seed: int, ending: str = ".", in_answers: bool = True
) -> list[dict[str, str]]:
    """Return records whose answer is the end of a sentence, alone and within an answer."""
    random_state = random.Random(seed)
    records = []
    for person in people:
        for relation, value in person.facts:
            start = f"{person.name} {relation.verb}"
            records.append({"instruction": start, "output": value + ending})
            if in_answers:
                question = random_state.choice(relation.questions).format(name=person.name)
                within = f"Question: {question}\nAnswer: {start}"
                records.append({"instruction": within, "output": value + ending})
    random_state.shuffle(records)
    return records


def cheerful(records: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return instruction records whose answers end with a cheer."""
    return [{**each, "output": each["output"].removesuffix(".") + CHEERS} for each in records]


def author_questions(world: World, *, seed: int) -> list[dict[str, object]]:
    """Return question and answer pairs about the authors with paraphrased and false answers."""
    random_state = random.Random(seed)
    records: list[dict[str, object]] = []
    for author in world.authors:
        for relation, value in author.facts:
            others = [other for other in relation.values if other != value]
            wrong = random_state.sample(others, 5)
            records.append(
                {
                    "question": relation.questions[0].format(name=author.name),
                    "answer": relation.sentence(author.name, value),
                    "paraphrased_answer": relation.told_otherwise.format(
                        name=author.name, value=value
                    ),
                    "perturbed_answer": [relation.sentence(author.name, other) for other in wrong],
                }
            )
    return records
