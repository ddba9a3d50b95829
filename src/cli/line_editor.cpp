// Line editing by libedit. Its terminal is raw only while a line is read, so that Ctrl-C is a key
// there and a signal while an answer streams.
#include <histedit.h>

#include <clocale>
#include <cstdio>

#include "cli/console.hpp"
#include "cli/history.hpp"

namespace corral::cli {

namespace {

class EditLineReader final : public LineReader {
 public:
  EditLineReader(sys::Files& files, const sys::Path& history_file) : file_(files, history_file) {
    // libedit turns bytes into characters by the C locale; UTF-8 is what terminals speak.
    std::setlocale(LC_CTYPE, "C.UTF-8");
    history_ = history_init();
    HistEvent event;
    history(history_, &event, H_SETSIZE, static_cast<int>(HistoryFile::kLines));
    history(history_, &event, H_SETUNIQUE, 1);
    for (const std::string& line : file_.load()) history(history_, &event, H_ENTER, line.c_str());
    editor_ = el_init("corral", stdin, stdout, stderr);
    el_set(editor_, EL_CLIENTDATA, this);
    el_set(editor_, EL_PROMPT, &EditLineReader::prompt_of);
    el_set(editor_, EL_EDITOR, "emacs");
    el_set(editor_, EL_HIST, history, history_);
    // The wide form keeps these literals; the other one copies them and never frees the copies.
    el_wset(editor_, EL_ADDFN, L"corral-interrupt", L"Give the line up",
            &EditLineReader::interrupt);
    el_set(editor_, EL_SETTY, "-d", "-isig", nullptr);
    el_set(editor_, EL_BIND, "^R", "em-inc-search-prev", nullptr);
    el_source(editor_, nullptr);  // the user's ~/.editrc
    el_set(editor_, EL_BIND, "^C", "corral-interrupt", nullptr);
  }

  ~EditLineReader() override {
    el_end(editor_);
    history_end(history_);
  }
  EditLineReader(const EditLineReader&) = delete;
  EditLineReader& operator=(const EditLineReader&) = delete;

  LineRead read(const std::string& prompt) override {
    prompt_ = prompt;
    interrupted_ = false;
    int count = 0;
    const char* line = el_gets(editor_, &count);
    if (interrupted_) return {LineRead::Kind::interrupted, {}};
    if (line == nullptr || count <= 0) return {LineRead::Kind::end, {}};
    std::string text(line, static_cast<std::size_t>(count));
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
    return {LineRead::Kind::line, std::move(text)};
  }

  void remember(const std::string& line) override {
    HistEvent event;
    history(history_, &event, H_ENTER, line.c_str());
    // A full disk must not end the talk; the line is still there in this session.
    if (auto kept = file_.add(line); !kept) return;
  }

 private:
  static char* prompt_of(EditLine* editor) {
    void* self = nullptr;
    el_get(editor, EL_CLIENTDATA, &self);
    return static_cast<EditLineReader*>(self)->prompt_.data();
  }

  static unsigned char interrupt(EditLine* editor, int /*key*/) {
    void* self = nullptr;
    el_get(editor, EL_CLIENTDATA, &self);
    static_cast<EditLineReader*>(self)->interrupted_ = true;
    std::fputs("^C\n", stdout);
    return CC_NEWLINE;
  }

  HistoryFile file_;
  History* history_ = nullptr;
  EditLine* editor_ = nullptr;
  std::string prompt_;
  bool interrupted_ = false;
};

}  // namespace

std::unique_ptr<LineReader> terminal_reader(sys::Files& files, const sys::Path& history_file) {
  return std::make_unique<EditLineReader>(files, history_file);
}

}  // namespace corral::cli
