<?php

// Debian's packages. With Composer, this line in place of the two: require_once __DIR__.'/vendor/autoload.php';
require_once 'Symfony/Component/Mercure/autoload.php';
require_once 'Symfony/Component/HttpClient/autoload.php';
