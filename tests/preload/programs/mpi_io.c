/* Each rank writes its blocks through MPI-IO, collectively and alone, and reads all of them. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { block = 100000, rounds = 8 };

static void check(int error, const char* what) {
  if (error == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(error, text, &length);
  fprintf(stderr, "%s: %s\n", what, text);
  MPI_Abort(MPI_COMM_WORLD, 1);
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0, size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_File file;
  check(
      MPI_File_open(MPI_COMM_WORLD, argv[1], MPI_MODE_CREATE | MPI_MODE_RDWR, MPI_INFO_NULL, &file),
      "open");
  char* const data = malloc(block);
  for (int round = 0; round < rounds; ++round) {
    memset(data, 'a' + (rank + round) % 26, block);
    const MPI_Offset at = ((MPI_Offset)round * size + rank) * block;
    check(round % 2 == 0 ? MPI_File_write_at_all(file, at, data, block, MPI_CHAR, NULL)
                         : MPI_File_write_at(file, at, data, block, MPI_CHAR, NULL),
          "write");
  }
  check(MPI_File_sync(file), "sync");
  MPI_Barrier(MPI_COMM_WORLD);
  int wrong = 0;
  for (int part = 0; part < rounds * size; ++part) {
    check(MPI_File_read_at(file, (MPI_Offset)part * block, data, block, MPI_CHAR, NULL), "read");
    const char expected = (char)('a' + (part % size + part / size) % 26);
    for (int i = 0; i < block; ++i) wrong += data[i] != expected;
  }
  MPI_Offset length = 0;
  check(MPI_File_get_size(file, &length), "size");
  check(MPI_File_close(&file), "close");
  int all = 0;
  MPI_Reduce(&wrong, &all, 1, MPI_INT, MPI_SUM, 0, MPI_COMM_WORLD);
  if (rank == 0) printf("size %lld wrong %d\n", (long long)length, all);
  free(data);
  MPI_Finalize();
  return all != 0;
}
