"""The commands of Corral."""

from __future__ import annotations

from .intent import Case, Intent, intent

MEANINGS = {
    "corral serve": "starts the server",
    "corral run": "chats with a model in the terminal",
    "corral list": "lists the models",
    "corral ps": "shows the running models",
    "corral stop": "unloads a model",
    "corral show": "shows the details of a model",
    "corral version": "prints the version of Corral",
    "corral config": "works on the configuration",
    "corral config check": "checks the configuration",
    "corral config schema": "prints the schema of the configuration",
    "corral config docs": "prints the documentation of the configuration",
    "corral config example": "prints an example configuration",
    "corral config export": "exports the configuration",
}
OVERVIEW = ("The commands are `corral serve`, `corral run`, `corral list`, `corral ps`, "
            "`corral stop`, `corral show`, `corral config` and `corral version`.")
HOW = "(how do i|how can i|how to|how would i|how does one|how should i|how do you|how could i)"
WANT = ("(i want to|i would like to|i need to|help me|show me how to|let me|tell me how to|"
        "what do i type to|which command do i use to|which command can|what command will|"
        "what is the command to|explain how to|with which command do i)")


def how_to(name: str, answer: str, verbs: str, objects: str, extra: str, held: str) -> Intent:
    """A question for the command that does something."""
    train = f"{HOW} ({verbs}) ({objects})\n{WANT} ({verbs}) ({objects})\n({verbs}) ({objects})\n"
    return intent("commands", name, train * 2 + extra, held, answer)


def how_tos() -> list[Intent]:
    """One intent per command: how to reach its effect."""
    return [
        how_to("how_serve", "Run `corral serve` to start the server.",
               "start|launch|start up|boot|bring up|run|begin",
               "corral|the server|the corral server|my server|a server|serving",
               """
               (which|what) command (starts|launches|runs) (corral|the server)
               how is the server started
               how do i (get started|begin|start|get corral running)
               i (just|) installed corral (what now|what next|and now)
               what do i do (first|to begin)
               how do i (turn on|switch on) (corral|the server)
               how do i serve models
               """, """
               by which command is the server started
               how do i get the server going
               i want the server to start
               what should i type to start corral
               """),
        how_to("how_run", "Run `corral run MODEL` to chat with a model in the terminal.",
               "chat with|talk to|talk with|speak with|ask|use|try|prompt|converse with|run",
               "a model|the model|my model|one model|a model in the terminal|models|a model here",
               """
               (which|what) command (runs|chats with|talks to|prompts) a model
               how do i (chat|have a chat|start a chat|open a chat) (|in the terminal|here)
               how do i send a prompt (to a model|)
               how do i ask a model (something|a question)
               can i chat (in|on|from) the (terminal|command line|shell)
               """, """
               how do i have a conversation with a model
               can i talk to a model in my terminal
               which command lets me chat
               what do i run to ask a model something
               """),
        how_to("how_list", "Run `corral list` to list the models.",
               "list|see|show|view|print|get a list of|find|display|look at",
               "models|my models|the models|all models|all my models|all the models|"
               "the list of models|available models|installed models|which models i have",
               """
               (which|what) models (do i have|are there|are available|are installed|can i use)
               (which|what) command (lists|shows|prints) (the|my|all) models
               where (is|do i find) the list of models
               is there a list of (the|my|all|) models
               how many models (do i have|are there|are installed)
               """, """
               how do i find out which models there are
               what is the command for listing models
               where can i see my models
               i want a list of all models
               """),
        how_to("how_ps", "Run `corral ps` to show the running models.",
               "list|see|show|view|print|check|find out|display|know|look at",
               "running models|the running models|loaded models|all running models|"
               "which models are running|which models are loaded|what is running|active models|"
               "models that are running|models in memory",
               """
               (which|what) models (are|is) (running|loaded|active|in memory) (now|right now|)
               (which|what) command (shows|lists) (the|) (running|loaded|active) models
               what is running (now|right now|)
               (is|are) (a|any) (model|models) (running|loaded)
               """, """
               how do i tell which models run at the moment
               what is the command for running models
               are there models loaded at the moment
               can i see what is loaded
               """),
        how_to("how_stop", "Run `corral stop MODEL` to unload a model.",
               "stop|unload|end|halt|shut down|quit|kill|free|remove from memory|turn off",
               "a model|the model|my model|one model|a running model|a loaded model|models",
               """
               (which|what) command (stops|unloads|ends|frees) a model
               how is a model (stopped|unloaded)
               how do i (free memory|free the memory|get memory back)
               a model (uses too much memory|must stop|should stop) (what now|)
               how do i get a model out of memory
               """, """
               by which command is a model unloaded
               how do i make a model stop
               i want a running model to end
               what do i type when a model must stop
               """),
        how_to("how_show", "Run `corral show MODEL` to see the details of a model.",
               "see|show|view|print|get|find|display|look at|read|know",
               "details of a model|the details of a model|information about a model|model details|"
               "the details of my model|details about a model|the size of a model|"
               "facts about a model|more about a model|the properties of a model",
               """
               (which|what) command (shows|prints) (details|the details|information) (of|about) a model
               how (big|large) is a model
               (which|what) (details|information|parameters) does a model have
               how do i inspect a model
               (inspect|describe) a model
               """, """
               where do i find the details of one model
               how do i learn more about a model
               what is the command for model details
               can i get information on one model
               """),
        how_to("how_version", "Run `corral version` to print the version of Corral.",
               "see|show|print|get|find|display|check|know|find out|look up",
               "the version|the version of corral|my version|the corral version|"
               "which version i have|the version number|my corral version",
               """
               (which|what) version (is this|do i have|of corral is this|of corral do i have)
               (which|what) command (shows|prints) the version
               what is the version (of corral|number|)
               how (old|new) is my corral
               """, """
               how do i tell what version of corral i use
               what is the command for the version
               which corral version is installed
               """),
        how_to("how_check", "Run `corral config check` to check the configuration.",
               "check|test|verify|validate|prove|examine|look for errors in",
               "the configuration|my configuration|the config|my config|the config file|"
               "my config file|the configuration file|my settings",
               """
               is my (configuration|config|config file) (right|correct|valid|ok|good)
               (which|what) command (checks|validates|tests) the (configuration|config)
               are there (errors|mistakes) in my (configuration|config)
               """, """
               how do i know that my config is valid
               what is the command for checking the configuration
               can corral check my configuration
               """),
        how_to("how_schema", "Run `corral config schema` to print the schema of the configuration.",
               "see|show|print|get|find|display|view|read",
               "the schema|the config schema|the schema of the configuration|"
               "the configuration schema|the schema of the config|a schema for the config",
               """
               (which|what) command (prints|shows) the (config|configuration|) schema
               is there a (schema|json schema) (for|of) the (configuration|config)
               where is the (config|configuration) schema
               """, """
               what is the command for the schema
               does the configuration have a schema
               where do i get the schema of the config
               """),
        how_to("how_docs", "Run `corral config docs` to print the documentation of the "
                           "configuration.",
               "see|show|print|get|find|display|view|read",
               "the config docs|the documentation of the configuration|the configuration docs|"
               "the docs of the config|the documentation of the config|all settings|"
               "the documentation|all options",
               """
               (which|what) (settings|options) (are there|exist|does corral have)
               (which|what) command (prints|shows) the (config docs|documentation)
               where (is|are) the (documentation|docs|settings) (of the configuration|explained)
               """, """
               what is the command for the config documentation
               where can i read about the settings
               is the configuration documented
               """),
        how_to("how_example", "Run `corral config example` to print an example configuration.",
               "see|show|print|get|find|display|view|give me",
               "an example|an example configuration|an example config|a sample configuration|"
               "a sample config|an example config file|an example of a configuration",
               """
               (which|what) command (prints|shows) (an example|a sample) (config|configuration)
               is there (an example|a sample) (config|configuration|of a config)
               what does a (config|configuration|config file) look like
               """, """
               what is the command for an example config
               where do i get a sample config file
               can corral print an example configuration
               """),
        how_to("how_export", "Run `corral config export` to export the configuration.",
               "export|save|back up|write out|copy|dump|take out",
               "the configuration|my configuration|the config|my config|my settings|the settings|"
               "the whole configuration|all my settings",
               """
               (which|what) command (exports|saves|dumps) the (configuration|config|settings)
               can i (export|back up) my (configuration|config|settings)
               how do i take my settings to another machine
               """, """
               what is the command for exporting the configuration
               how do i get a copy of my config
               can corral export its configuration
               """),
    ]


def meanings() -> Intent:
    """What a named command does."""
    cases = []
    for command, meaning in MEANINGS.items():
        for shown in (command, f"`{command}`", f'"{command}"'):
            cases.append(Case({"command": shown, "short": command.removeprefix("corral ")},
                              f"`{command}` {meaning}."))
    return intent("commands", "meaning", """
        what does {command} do
        what does the command {command} do
        what does the {short} command do
        what is {command}
        what is {command} (for|good for|used for)
        what (happens|do i get) (when i run|if i run|with) {command}
        (explain|describe) (the command|) {command}
        (explain|describe) the {short} command
        (tell me|say) what {command} does
        (tell me about|what about) (the command|) {command}
        what does {command} mean
        why (would|do|should) i (run|use|type) {command}
        when do i (use|need|run) {command}
        {command}
        what will {command} do
        help with {command}
        what is the {short} command (for|)
        """, """
        what is the purpose of {command}
        what does it do when i type {command}
        what is the use of the {short} command
        could you explain {command} to me
        what would {command} do
        """, cases, 4.0)


def overview() -> Intent:
    """Which commands there are."""
    return intent("commands", "overview", """
        (which|what) commands (are there|does corral have|exist|do you know|can i use|can i run)
        (list|show|name|tell me|give me|print) (the|all|all the) commands
        (list|show|name|tell me|give me) (the|all|all the) (commands of corral|corral commands)
        (which|what) (is|are) the commands (of corral|)
        how do i use corral
        how do i control corral
        what can i type
        how many commands (are there|does corral have)
        commands
        (help with|tell me about) (the|) commands
        what (are|is) the (corral|) command line
        """, """
        what commands does corral understand
        could you list the corral commands
        which commands can i give corral
        give me an overview of the commands
        """, OVERVIEW, 2.0)


def commands() -> list[Intent]:
    """All intents about commands."""
    return [*how_tos(), meanings(), overview()]
