<?php
// A page with a time to live of one second, different at every request.
header('Cache-Control: public, s-maxage=1');
echo hrtime(true), "\n";
