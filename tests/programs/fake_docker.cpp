// The fake Docker Engine of the unit tests as a program: fake_docker SOCKET. It serves until its
// standard input ends. A line "die NAME CODE" ends a container as if by itself.
#include "engines/tests/fake_docker.hpp"

#include <iostream>
#include <sstream>

int main(int count, char** words) {
  if (count != 2) {
    std::cerr << "usage: fake_docker SOCKET\n";
    return 2;
  }
  corral::engines::docker::FakeDocker docker(words[1]);
  std::cout << "ready" << std::endl;
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words_of_line(line);
    std::string word;
    std::string name;
    int code = 0;
    if (words_of_line >> word >> name >> code && word == "die") docker.die(name, code);
  }
  return 0;
}
