-- ?1 the file to be made
VACUUM INTO ?1
