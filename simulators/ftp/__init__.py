"""A partner that keeps files: FTP, FTPS and SFTP servers that can be told to misbehave."""
