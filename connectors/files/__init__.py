"""Files of partners: a local folder, FTP, FTPS or SFTP."""
