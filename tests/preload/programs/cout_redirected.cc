// C++ streams on standard descriptors that are files from the start, and that become so later.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>

int main(int argc, char** argv) {
  std::cout << "cout " << 1 << '\n';
  std::cerr << "cerr " << 2 << '\n';
  std::clog << "clog " << 3 << std::endl;
  for (std::string line; std::getline(std::cin, line);) std::cout << "in: " << line << '\n';
  std::cout.flush();
  if (argc < 2) return 0;

  const int saved = dup(STDOUT_FILENO);
  const int file = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (saved < 0 || file < 0 || dup2(file, STDOUT_FILENO) < 0) return 1;
  close(file);
  std::cout << "cout after dup2" << std::endl;
  std::printf("printf after dup2\n");
  std::fflush(stdout);
  dup2(saved, STDOUT_FILENO);
  std::cout << "cout back" << std::endl;

  const std::string second = std::string(argv[1]) + ".2";
  if (std::freopen(second.c_str(), "w", stdout) == nullptr) return 2;
  std::cout << "cout after freopen" << std::endl;
  std::ios::sync_with_stdio(false);
  std::cout << "unsynchronised" << std::endl;

  const std::string third = std::string(argv[1]) + ".3";
  std::ofstream(third) << "ofstream " << 5 << '\n';
  std::ofstream(third, std::ios::app) << "appended\n";
  std::fstream both(third, std::ios::in | std::ios::out);
  both.seekp(0, std::ios::end);
  both << "at the end\n";
  both.seekg(0);
  for (std::string line; std::getline(both, line);) std::cerr << "fstream: " << line << '\n';
  return 0;
}
