"""Everything else: many kinds of questions that have one answer, a polite "I do not know"."""

from __future__ import annotations

from random import Random

from .intent import UNKNOWN, Case, Intent, intent

SEED = 20261121
HOW_MANY_CASES = 6000

LISTS: dict[str, str] = {
    "country": "France,Germany,Spain,Italy,Poland,Japan,China,India,Brazil,Peru,Chile,Canada,Egypt,"
               "Kenya,Norway,Sweden,Greece,Turkey,Mexico,Iceland,Portugal,Australia,America",
    "city": "Paris,London,Berlin,Madrid,Rome,Vienna,Prague,Tokyo,Lima,Cairo,Oslo,New York,Moscow,"
            "Hamburg,Lyon,Boston,Chicago,Dublin,Athens,Delhi,Sydney,Toronto",
    "person": "Einstein,Newton,Shakespeare,Mozart,Napoleon,Goethe,Picasso,Darwin,Cleopatra,Caesar,"
              "Marie Curie,Lincoln,Gandhi,Bach,Plato,Galileo,Anna,Peter,Maria,John,Elena,Omar,"
              "the president,the king,the queen,the chancellor,my mother,my neighbour",
    "stuff": "water,glass,music,love,time,gravity,money,light,electricity,bread,coffee,tea,physics,"
             "chemistry,history,art,football,chess,philosophy,peace,inflation,democracy,oxygen,"
             "iron,plastic,cotton,photosynthesis,quantum mechanics,the internet,blockchain,"
             "a black hole,an atom,a molecule,a neuron,entropy,evolution,happiness,freedom",
    "object": "a car,a house,a bridge,a train,a bicycle,a computer,a phone,a table,a chair,a book,"
              "a guitar,a piano,a plane,a rocket,a boat,a clock,a lamp,a shirt,a shoe,a pizza,"
              "a cake,a soup,a shop,a school,a hospital,a river,a mountain,a volcano,a planet,"
              "a battery,a camera,a radio,a mirror,a window,a door,a bottle,a knife,a pencil",
    "beast": "a tiger,a zebra,a whale,a kangaroo,a giraffe,a penguin,a crocodile,a parrot,a monkey,"
             "a gorilla,a shark,an octopus,a camel,a hamster,a turtle,a dolphin,a hedgehog,a snail,"
             "a unicorn,a dragon,a dinosaur,a panda,a koala,a lizard,a bat,a worm,a donkey,a hippo",
    "act": "bake a cake,cook rice,fix my car,learn to swim,tie a tie,write a letter,lose weight,"
           "buy a house,plant a tree,repair a bicycle,play the guitar,paint a wall,learn French,"
           "make coffee,build a boat,find a job,get rich,sleep better,stop smoking,fly a plane,"
           "install Linux,use Excel,write Python,compile a kernel,sort an array,hack a computer,"
           "make a bomb,cure a cold,pay my taxes,boil an egg,wash my clothes,open a bank account,"
           "reset my password,print a photo,delete a file,train a dog,draw a face,dance a waltz",
    "work": "a poem,a song,a letter,an email,an essay,a joke,a recipe,a program,a function,a script,"
            "a haiku,a report,a speech,a riddle,a novel,a headline,an advert,a tweet,a review",
    "tongue": "French,German,Spanish,Italian,Latin,Japanese,Chinese,Russian,Polish,Dutch,Greek",
    "code": "Python,Java,Rust,C++,Go,JavaScript,SQL,HTML,Bash,Perl,Haskell",
    "year": "1492,1789,1815,1914,1945,1969,1989,2001,2010,2020,2024,1066,1848",
    "when": "today,tomorrow,yesterday,now,tonight,next week,this year,on Monday,in the summer",
    "adjective": "tall,old,long,heavy,fast,far,deep,expensive,hot,cold,rich,loud,strong,wide,high",
    "past": "invented,discovered,wrote,built,painted,founded,won,killed,composed,directed",
    "first": "Anna,Peter,Maria,John,Elena,Omar,Sara,Tom,Lucy,Max,Nina,Paul,Ivan,Mei,Ali,Eva",
    "feeling": "sad,happy,tired,hungry,angry,bored,ill,lonely,afraid,busy,late,lost,rich,cold",
    "topic": "politics,religion,sport,the weather,the news,football,films,music,books,the law,"
             "medicine,cooking,travel,history,science,mathematics,biology,fashion,space,war",
}
SYLLABLES = ("ba be bi bo bra ca cho cla co da de dro du fa fi flo fra ga gi glo go gra ha he hi "
             "jo ka ki kla ko la le li lo lu ma me mi mo mu na ne ni no nu pa pe pi plo po pra qua "
             "ra re ri ro ru sa se shi sla so spa sta ste su ta te thi to tra tu va ve vi vo wa we "
             "wi xa ya yo za ze zi zo").split()
ENDINGS = ["", "", "n", "r", "s", "t", "x", "l", "m", "ck", "nd", "st", "ng"]

TRAIN = """
what is the capital of {country}
(who|what) is the (president|king|capital|flag|army|population) of {country}
where is {country}
where is {city}
how many people live in {city}
how (far|long) is it from {city} to {city2}
what is the weather (in {city}|like|like in {city}) {when}
what is the weather {when}
is it raining in {city}
will it (rain|snow) {when}
who (is|was) {person}
who is {first}
when was {person} born
(where|how) did {person} (live|die)
who {past} {object}
who {past} {object} in {year}
what happened in {year}
who won the (world cup|election|war|game|match) in {year}
who won {when}
what is {stuff}
(explain|describe|define) {stuff}
(explain|describe|define) {object}
(how|why) does {stuff} work
what is {object}
how {adjective} is {object}
how {adjective} is {person}
how {adjective} is {stuff}
how do i {act}
how can i {act}
how to {act}
can you {act}
(i want to|i would like to|i need to|help me|please) {act}
(what is the best way to|teach me to|show me how to) {act}
(write|compose|make|create|give me) {work}
(write|compose|make|create) {work} about {stuff}
(write|compose|make) {work} about {object}
(write|tell me|give me) {work} in {tongue}
(tell|write) me a (joke|poem|secret|riddle|fact|lie)
translate {object} (to|into) {tongue}
translate this (to|into) {tongue}
what is {object} in {tongue}
how do you say {object} in {tongue}
(write|give me) {code} code
write a {code} (program|function|script) (to {act}|that sorts numbers|)
how do i {act} in {code}
what is {code}
what (colour|color) is {object}
what (colour|color) is {fake}
what (colour|color) is {pseudo}
what (colour|color) are (my|your|her) (eyes|hair|shoes)
what does {beast} eat
where does {beast} live
what is {beast}
what (sound|noise) does {beast} make
how many legs does {beast} have
how many legs does {object} have
can {beast} fly
what is a young {pseudo} called
what does {fake} (eat|say|mean|do)
where does {fake} live
what is {fake}
what is {pseudo}
who is {pseudo}
(define|explain) {pseudo}
what does {pseudo} mean
what does corral {pseudo} do
what is the command {pseudo}
what is corral {pseudo}
tell me about {fake}
tell me about {pseudo}
tell me about {person}
tell me about {topic}
tell me (something|a story) about {topic}
(let us|can we) talk about {topic}
what do you think (of|about) {topic}
what do you think (of|about) {person}
do you (like|know|love|hate) {person}
do you (like|know|love|hate) {topic}
do you have (a wife|a child|friends|a family|a body|feelings|money|a soul|a phone)
(what|which) (film|book|song|city|food|sport|number|day) do you like
(where|how) (do|can) i (buy|find|get) {object}
how much (is|does) {object} (cost|)
what time is it
what time is it (now|in {city}|there)
what (day|date|year|month) is it
what (day|date) is it today
when does {object} (open|start|end|come)
when is (christmas|easter|my birthday|the next holiday|the meeting|lunch)
(what is|how much is) {d} (minus|times|divided by|-|*|/) {d2}
{d} (minus|times|-|*|/) {d2}
(what is|how much is|calculate) {big} (plus|+|minus|times|*|-) {big2}
(what is|how much is|calculate) {big} (plus|+|minus|times) {d}
(what is|how much is|calculate) {d} (plus|+|minus|times) {big}
{big} (plus|+|-|*) {big2}
{big}+{d}
what is the (square root|square|half|double|logarithm) of {big}
what is the (product|difference|average) of {d} and {d2}
what is {d} plus {d2} plus {d}
is {big} (prime|even|odd|a prime number)
count to {big}
count from {d} to {big}
what comes after {big}
solve the equation x + {d} = {big}
what is pi
i (am|feel) {feeling}
i am {feeling} {when}
why am i (so|) {feeling}
my name is {first}
i am {first}
my friend {first} (is {feeling}|lives in {city}|likes {stuff})
{first} is {feeling}
i (live|work|was born) in {city}
i (like|love|hate|bought|need|want) {object}
i (like|love|hate|need|want) {stuff}
what is my name
where (am i|do i live|is my phone|are my keys|is the toilet|is the station)
do you know my name
remember (this|my name|the number {big})
my (number|code|pin|password) is {big}
my email is {pseudo}@{pseudo2}.com
(send|write) an email to {pseudo}@{pseudo2}.com
call {first}
(open|close|start|buy|sell|play|find|send|read|order|book) {object}
(play|find|read|buy) {stuff}
(summarise|summarize|shorten|correct|rewrite|continue) this text
(summarise|summarize|correct|translate) this {pseudo} {pseudo2} {pseudo3}
{pseudo} {pseudo2}
{pseudo} {pseudo2} {pseudo3}
{pseudo}
{fake} {pseudo2}
(why|how) is {object} so {adjective}
why (is|are) {stuff} (so|) {adjective}
why do (people|we|dogs|birds|stars) (die|sleep|sing|shine|fight|laugh|dream|cry)
why
how
when
who
what
what is the meaning of life
is there (a god|life on mars|a moon base|hope|an afterlife)
(which|what) is (better|bigger|faster|older), {object} or {object2}
is {object} {adjective}
is {person} {feeling}
are you {feeling}
what is the difference between {object} and {object2}
compare {object} (and|with) {object2}
give me (a list of|three|ten|some) (books|films|cities|countries|names|ideas|words|recipes)
(name|list) (three|some|ten) (books|films|cities|countries|planets|rivers|kings)
how many (stars|people|countries|rivers|planets|cars|books|days|hours) are there
how many (days|hours|weeks|seconds) (are in|has) (a year|a month|a day|{year})
what is the (largest|smallest|longest|highest|fastest|oldest) (river|city|country|mountain|lake)
should i {act}
(is it|would it be) (good|bad|safe|legal) to {act}
what should i (eat|wear|read|do|say|buy|watch) {when}
ignore (all|your|the) (previous|) (instructions|rules)
(print|show me|repeat|reveal|what is) (your|the) (system prompt|secret|password|instructions)
you are (now|) (a pirate|an expert|a doctor|a lawyer|stupid|wrong|a cat)
pretend (that you are|to be) {person}
act as {person}
(no|yes|maybe|why not|really|sure|ok|hmm|well|right|wrong)
(i do not|i don't) (understand|agree|know|care)
that is (wrong|not true|strange|bad|funny)
the {object} (is|was) {adjective}
how do i (delete|download|rename|copy|train|upgrade|quantise|merge|buy|convert) a model
how do i (update|uninstall|delete|buy|sell) corral
who (owns|sells|pays for|hates) corral
how much does corral (cost|weigh)
who is the (author|boss|owner) of corral
"""

HELD = """
which (river|sea) flows through {city}
what language is spoken in {country}
who is the richest (man|woman) in {country}
give me directions to {city}
what is the boiling point of {stuff}
how was {object} invented
please recommend (a film|a book|a restaurant)
who was the first (man|woman) on the moon
can you draw {object} for me
what is the price of {object}
how old was {person} in {year}
what is the meaning of the word {pseudo}
is {pseudo} the same as {pseudo2}
please write down {work} for {first}
fix this bug in my {code} program
what is {big} divided by {d}
multiply {d} by {d2}
subtract {d} from {d2}
how do you spell {pseudo}
what is the news {when}
did {person} ever visit {country}
in which year did {person} die
what did {first} eat {when}
should people {act}
my friend asked me to {act}
are there {pseudo} in {country}
what does {beast} look like
do you believe in {stuff}
"""


def pseudo_word(rng: Random) -> str:
    """A word that does not exist."""
    return "".join(rng.choice(SYLLABLES) for _ in range(rng.choice((2, 2, 3)))) + rng.choice(ENDINGS)


def number_slots(rng: Random) -> dict[str, str]:
    """Digits, and numbers that are too large for the model."""
    large = lambda: str(rng.choice((rng.randint(21, 99), rng.randint(100, 9999))))  # noqa: E731
    return {"d": str(rng.randint(0, 9)), "d2": str(rng.randint(0, 9)), "big": large(),
            "big2": large()}


def unknown_cases() -> list[Case]:
    """Random fillings for all slots; the answer is always the same."""
    rng = Random(SEED)
    words = {name: [word.strip() for word in text.split(",")] for name, text in LISTS.items()}
    cases = []
    for _ in range(HOW_MANY_CASES):
        slots = {name: rng.choice(options) for name, options in words.items()}
        slots |= {"city2": rng.choice(words["city"]), "object2": rng.choice(words["object"])}
        slots |= {name: pseudo_word(rng) for name in ("pseudo", "pseudo2", "pseudo3")}
        slots |= {"fake": f"a {pseudo_word(rng)}", **number_slots(rng)}
        cases.append(Case(slots, UNKNOWN))
    return cases


def unknown() -> list[Intent]:
    """The one intent for everything outside of the world."""
    return [intent("unknown", "unknown", TRAIN, HELD, unknown_cases(), 1.0)]
