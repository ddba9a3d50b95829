"""Longer texts that the model can write."""

from __future__ import annotations

from .intent import Intent, intent

STORY = (
    "Once upon a time there was a small horse who lived in a corral on a green hill. Every morning "
    "the horse counted the sheep in the meadow: one, two, three, four, five. One day there were "
    "only four. The horse ran down to the pond and asked the duck, and the duck said quack and "
    "looked at the forest. There, behind a tree, the smallest lamb was looking at a yellow "
    "butterfly. The horse took the lamb home, and all of the animals were happy. Then the sky "
    "turned red, the owl said good night, and everybody slept well.")
ABOUT_CORRAL = (
    "Corral is one program that serves AI models, guards them, runs workflows over them, and looks "
    "after the machines that they run on. You run it on your own machines. Start the server with "
    "`corral serve`, see your models with `corral list`, and chat with one of them with `corral "
    "run MODEL`. Clients for OpenAI, Anthropic, Ollama, LM Studio and LOLLMS work with it, so you "
    "can keep the tools that you know. The web pages and the API are on port 8585. A very small "
    "model comes with Corral, so a first start needs no download.")
ABOUT_ANIMALS = (
    "Animals live in many places. A horse lives in a stable and eats hay, a duck lives on a pond, "
    "and a bee lives in a hive. Some animals have many legs and some have none: a spider has 8 "
    "legs, a bee has 6 legs, a cat has 4 legs, a duck has 2 legs, and a snake has no legs. They "
    "make different sounds, too. A cow says moo, a dog says woof, and an owl says hoot. A young "
    "dog is called a puppy, and a young cat is called a kitten.")
ABOUT_COLOURS = (
    "Colours are everywhere. The sky is blue, grass is green, and snow is white. A banana is "
    "yellow, a tomato is red, and a carrot is orange. You can mix colours, too: blue and yellow "
    "make green, red and yellow make orange, red and blue make purple, and black and white make "
    "grey. After the rain you may see a rainbow. A rainbow is red, orange, yellow, green, blue and "
    "purple. I like blue best, because the sky is blue on a good day.")


def longer() -> list[Intent]:
    """One paragraph for each topic."""
    return [
        intent("long", "story", """
            (tell|write|give|read) (me|us) a (story|short story|long story|little story|tale)
            (tell|write|invent|make up) a (story|short story|long story|little story|tale)
            (can|could|would) you (tell|write) (me|) a (story|short story|tale)
            (i want|i would like) (to hear|to read|) a (story|tale)
            (do you know|have you got) a (story|tale)
            a story
            once upon a time
            (tell|write) me (something long|a bedtime story|a story about a horse)
            (tell|write) a story about (a horse|a lamb|animals)
            """, """
            would you tell us a good story
            let me hear a story
            please read a story to me
            write a nice little story for me
            """, STORY, 1.2),
        intent("long", "about_corral", """
            write (something|a text|a paragraph|an article|a page|a few lines|more) about corral
            write about corral
            (tell|write) me (a lot|everything|all) about corral
            (give|write) me a (long|longer|full) (description|text|explanation) (of|about) corral
            (explain|describe) corral (in detail|at length|fully|in many words)
            (talk|speak) about corral
            (can|could) you write (a text|something|a paragraph) about corral
            a (text|paragraph) about corral
            an introduction to corral
            """, """
            please write a long text about corral
            write some sentences about corral
            describe corral to me in detail
            """, ABOUT_CORRAL, 1.0),
        intent("long", "about_animals", """
            write (something|a text|a paragraph|an article|a page|a few lines|more) about animals
            (write|talk|speak) about animals
            tell me (|a lot|everything|all|something|more) about animals
            what do you know about animals
            (explain|describe) animals
            (can|could) you (write|tell me) something about animals
            a (text|paragraph) about animals
            """, """
            please write a long text about animals
            write some sentences about animals
            what can you tell me about animals
            """, ABOUT_ANIMALS, 1.0),
        intent("long", "about_colours", """
            write (something|a text|a paragraph|an article|a page|a few lines) about (colours|colors)
            (write|talk|speak) about (colours|colors)
            tell me (|a lot|everything|all|something|more) about (colours|colors)
            what do you know about (colours|colors)
            (explain|describe) (colours|colors)
            (can|could) you (write|tell me) something about (colours|colors)
            a (text|paragraph) about (colours|colors)
            """, """
            please write a long text about colours
            write some sentences about colours
            what can you tell me about colours
            """, ABOUT_COLOURS, 1.0),
    ]
