// What `--help` says below the options: examples, and what else one may want to know.
#pragma once

namespace corral::cli {

inline constexpr const char* kFooter = R"(Examples:
  corral serve                              start the server on 127.0.0.1:8585
  corral list                               the models it serves
  corral pull llama3.2:3b                   fetch one
  corral run corral-tiny "What is Corral?"  one streamed answer
  corral run corral-tiny                    a talk; /help lists its commands
  git diff | corral run MODEL "Explain:"    standard input follows the prompt
  corral endpoints                          the places that answer, and how they are
  corral routes explain gpt-4o              who would answer to that name now, and why

Environment:
  CORRAL_SERVER    address of the server, as --server
  CORRAL_API_KEY   API key; or keep it in a file and use --api-key-file
  NO_COLOR         no colours, as --no-color

Exit codes:
  0 done   1 failed   2 wrong usage   3 no server answers   4 not found   130 interrupted
)";

inline constexpr const char* kRunFooter = R"(Examples:
  corral run corral-tiny
  corral run corral-tiny "Count to five."
  corral run corral-tiny --system "Answer in one word." --temperature 0 "Sky?"
  echo "one two" | corral run corral-tiny "How many words?"
  corral run corral-tiny --json "Hello" | jq .usage
)";

inline constexpr const char* kLoadFooter = R"(Examples:
  corral load corral-tiny             ready when it returns
  corral load corral-tiny --detach    go on at once

Ctrl-C stops waiting; the load goes on in the server. A request loads a model as well.
)";

inline constexpr const char* kServeFooter = R"(Examples:
  corral serve
  corral serve --listen 127.0.0.1:0 --models ~/models
  corral serve --config corral.yaml --set log.level=debug

Ctrl-C (SIGINT) or SIGTERM lets answers under way finish; a second one ends at once.
SIGHUP reads the configuration again.
)";

inline constexpr const char* kConfigFooter = R"(Examples:
  corral config example > corral.yaml
  corral config check --config corral.yaml
  corral config get server.listen
  corral config docs | less
)";

inline constexpr const char* kEndpointsFooter = R"(Examples:
  corral endpoints
  corral endpoints show gpu1
  corral endpoints add gpu3.yaml
  corral endpoints open gpu1     no requests until `close`
  corral endpoints close gpu1    let requests through again
)";

inline constexpr const char* kRoutesFooter = R"(Examples:
  corral routes
  corral routes explain gpt-4o
  corral routes add chat.yaml
  corral routes add --replace chat.yaml
  corral routes remove chat
)";

inline constexpr const char* kCatalogFooter = R"(Examples:
  corral cp llama3.2:3b mine
  corral tag llama3.2:3b stable --version 2
  corral rollback llama3.2:3b
  corral rm llama3.2:3b
  corral verify
)";

inline constexpr const char* kPullFooter = R"(Examples:
  corral pull llama3.2:3b                           from the Ollama library
  corral pull hf:OWNER/REPOSITORY                   from Hugging Face, Q4_K_M or nearest
  corral pull hf:OWNER/REPOSITORY:Q8_0@main         a quantization, a revision
  corral pull hf:OWNER/REPOSITORY/FILE.gguf         one file, with its other parts
  corral pull lab/tiny                              from sources.folders: lab=URL
  corral pull https://host/model.gguf#sha256=...    a file by its address

Ctrl-C stops watching; the pull goes on in the server. After a restart it goes on, too.
)";

inline constexpr const char* kOperationsFooter = R"(Examples:
  corral operations
  corral operations pause pull-1f2e3d4c
  corral operations watch pull-1f2e3d4c
)";

inline constexpr const char* kCompletionFooter = R"(Examples:
  bash   corral completion bash > ~/.local/share/bash-completion/completions/corral
  zsh    corral completion zsh > "${fpath[1]}/_corral"
  fish   corral completion fish > ~/.config/fish/completions/corral.fish
)";

}  // namespace corral::cli
