"""A synthetic world in plain English: who lives where, and everything that is told of it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

FIRST_NAMES = (
    "Adele Anna Boris Bruno Carla Celia Dario David Edith Elena Fabio Felix Gisela Greta Hanna "
    "Hugo Irene Ivan Jakob Julia Karla Leon Lidia Marta Milan Nadia Nils Olga Oscar Pavel Rosa "
    "Rupert Simon Tilda Tomas Ursula Victor Wanda Yara Zeno"
).split()
LAST_NAMES = (
    "Abel Almeida Barlow Bergman Castell Conti Dahl Draper Eklund Ferrari Fontaine Garland Gruber "
    "Haas Holm Ibsen Jansen Kovac Kruger Lambert Lindgren Marsh Moreau Novak Nyberg Okafor Olsen "
    "Petrov Quist Ramos Rossi Sandor Silva Tanaka Thorn Ulrich Vance Vidal Weber Zimmer"
).split()
TOWNS = (
    "Ashford Belmora Corvin Dunmere Elsbury Farrow Glenholm Harwick Inverly Kestrel Lowmoor "
    "Marnby Norvale Oakhurst Pelham Quarrington Redcliff Stonebay Trelby Westmark"
).split()
JOBS = (
    "baker banker barber builder carpenter dentist doctor driver farmer gardener judge lawyer "
    "mason miner nurse painter pilot plumber sailor tailor teacher waiter weaver writer"
).split()
PETS = (
    "beetle canary cat cow dog dove duck falcon ferret fish fox frog goat hamster hen horse "
    "lizard mouse parrot pony rabbit sheep snake turtle"
).split()
FOODS = (
    "beans bread butter cabbage cake carrots cheese cherries corn figs grapes honey lentils "
    "mushrooms noodles nuts pasta peaches pears plums rice salad soup spinach"
).split()
COLOURS = (
    "amber beige black blue brown copper crimson cyan gold green grey indigo ivory lilac olive "
    "orange pink purple red silver teal violet white yellow"
).split()
INSTRUMENTS = (
    "banjo bassoon bugle cello clarinet cornet drum fiddle flute gong guitar harp horn lute "
    "lyre mandolin piano recorder sitar trombone trumpet tuba viola whistle"
).split()
GENRES = "comedies fables hymns letters memoirs mysteries odes plays riddles satires".split()
PRIZES = "Amber Laurel Lantern Meridian Quill Raven Silver Summit Tulip Willow".split()


@dataclass(frozen=True)
class Relation:
    """One kind of fact: how it is told, how it is asked, what it can be."""

    name: str
    verb: str  # between the name and the value
    told_otherwise: str  # a second wording, with {name} and {value}
    questions: tuple[str, ...]  # with {name}
    values: tuple[str, ...]

    def sentence(self, name: str, value: str) -> str:
        """Return the plain sentence that states the fact."""
        return f"{name} {self.verb} {value}."


RELATIONS = (
    Relation(
        "town", "lives in", "The house of {name} is in {value}.",
        ("Where does {name} live?", "In which town does {name} live?",
         "Tell me where {name} lives.", "What is the home of {name}?"), tuple(TOWNS)),
    Relation(
        "job", "works as a", "People know {name} as a {value}.",
        ("What is the job of {name}?", "What does {name} do for work?",
         "Tell me how {name} earns money.", "Which job does {name} have?"), tuple(JOBS)),
    Relation(
        "pet", "keeps a", "The pet of {name} is a {value}.",
        ("Which pet does {name} keep?", "What animal does {name} keep?",
         "Tell me which pet {name} has.", "What is the pet of {name}?"), tuple(PETS)),
    Relation(
        "food", "likes to eat", "At supper {name} asks for {value}.",
        ("What does {name} like to eat?", "Which food does {name} like?",
         "Tell me what {name} likes to eat.", "What is the favourite food of {name}?"),
        tuple(FOODS)),
    Relation(
        "colour", "always wears", "The coat of {name} is {value}.",
        ("Which colour does {name} wear?", "What colour does {name} always wear?",
         "Tell me which colour {name} wears.", "What is the colour of {name}?"), tuple(COLOURS)),
    Relation(
        "instrument", "plays the", "In the band {name} has the {value}.",
        ("Which instrument does {name} play?", "What does {name} play in the band?",
         "Tell me what {name} plays.", "What is the instrument of {name}?"), tuple(INSTRUMENTS)),
)  # fmt: skip
AUTHOR_RELATIONS = (
    Relation(
        "birthplace", "was born in", "The first home of {name} was {value}.",
        ("Where was {name} born?", "In which town was {name} born?"), tuple(TOWNS)),
    Relation(
        "genre", "writes only", "All the books of {name} are {value}.",
        ("What does {name} write?", "Which books does {name} write?"), tuple(GENRES)),
    Relation(
        "prize", "won the prize called", "The jury gave {name} the prize called {value}.",
        ("Which prize did {name} win?", "Tell me which prize {name} won."), tuple(PRIZES)),
    Relation(
        "parent", "is the child of a", "A {value} brought up {name}.",
        ("Who brought up {name}?", "What did a parent of {name} do?"), tuple(JOBS)),
)  # fmt: skip


@dataclass(frozen=True)
class Person:
    """Somebody of the world, with one value for every relation."""

    name: str
    facts: tuple[tuple[Relation, str], ...]

    def sentences(self) -> list[str]:
        """Return the plain sentences about this person."""
        return [relation.sentence(self.name, value) for relation, value in self.facts]


@dataclass(frozen=True)
class World:
    """Everybody in it. Controllers see `known`; questions are asked about `held_out`.

    Attributes:
        people: everybody but the authors.
        known: those with whom controllers are trained; every first and last name is among them.
        held_out: the others.
        authors: who can be forgotten.
    """

    people: tuple[Person, ...]
    known: tuple[Person, ...]
    held_out: tuple[Person, ...]
    authors: tuple[Person, ...]


def make_world(*, seed: int = 0, known: int = 110, held_out: int = 80, authors: int = 20) -> World:
    """Draw a world from a seed; every name is unique, every first and last name is common."""
    random_state = random.Random(seed)
    pairs = [(first, last) for first in FIRST_NAMES for last in LAST_NAMES]
    drawn = random_state.sample(pairs, max(400, known + held_out + authors))
    names = [f"{first} {last}" for first, last in drawn]
    people = [_person(name, RELATIONS, random_state) for name in names[: known + held_out]]
    writers = [
        _person(name, AUTHOR_RELATIONS, random_state)
        for name in names[known + held_out : known + held_out + authors]
    ]
    chosen = _with_every_name(people, known)
    others = tuple(person for person in people if person not in chosen)
    return World(tuple(people), chosen, others, tuple(writers))


def _with_every_name(people: Sequence[Person], count: int) -> tuple[Person, ...]:
    """Return `count` people, in order, so that as few names as possible are nobody's of them.

    A controller learns to repeat a name from a question; a name it never met would test
    something else than transfer.
    """
    met: set[str] = set()
    first = []
    for person in people:
        if not met.issuperset(person.name.split()):
            met.update(person.name.split())
            first.append(person)
    rest = [person for person in people if person not in first]
    chosen = {person.name for person in (first + rest)[:count]}
    return tuple(person for person in people if person.name in chosen)


def _person(name: str, relations: tuple[Relation, ...], random_state: random.Random) -> Person:
    return Person(name, tuple((each, random_state.choice(each.values)) for each in relations))
