package uploads
